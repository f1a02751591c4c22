"""Kronecker product of two matrices: ΔW = s·(U ⊗ V)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn

if TYPE_CHECKING:
    from autopeft.deltas import Part


class KroneckerProduct(Delta):
    """Δh = (α/r)·(U ⊗ V) x, with V = B A where a rank is given, else a whole matrix.

    Paper: Yeh et al. (2024), Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to
    Model Evaluation (LoKr). Since (U ⊗ V) x = V X Uᵀ for x written as a matrix X, the large matrix
    is never made.

    Shapes: with fan_in = m·n and fan_out = l·k: x (…, m·n), U (l, m), V (k, n) or B (k, r) and
    A (r, n), Δh (…, l·k).
    Initialisation: U zero, so Δh = 0; V, or B and A, Kaiming-uniform(√5).
    Trained: l·m + r·(k + n), or l·m + k·n.
    """

    name = "kronecker_product"
    linear = True
    low_precision = True

    def __init__(
        self, fan_in: int, fan_out: int, *, rows: int, columns: int, low: bool, r: int, alpha: float
    ) -> None:
        """Make the two matrices.

        Args:
            fan_in: of the module, a multiple of `columns`.
            fan_out: of the module, a multiple of `rows`.
            rows: l, of U.
            columns: m, of U.
            low: whether V is of rank r.
            r: the rank, also in the scale.
            alpha: numerator of the scale.
        """
        super().__init__()
        self.scale = alpha / r
        self.u = nn.Parameter(torch.zeros(rows, columns))
        k, n = fan_out // rows, fan_in // columns
        self.v = None if low else nn.Parameter(drawn(k, n))
        self.b = nn.Parameter(drawn(k, r)) if low else None
        self.a = nn.Parameter(drawn(r, n)) if low else None

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del base
        settings: dict[str, Any] = {**part.settings}
        del settings["factor"]  # rows and columns follow from it
        return cls(part.fan_in, part.fan_out, **settings)

    def forward(self, x: Tensor) -> Tensor:
        inner = x.reshape(*x.shape[:-1], self.u.shape[1], -1)
        for factor in self._factors():
            inner = nn.functional.linear(inner, factor.to(x.dtype))
        mixed = nn.functional.linear(inner.mT, (self.u * self.scale).to(x.dtype))
        return mixed.mT.flatten(-2)

    def _factors(self) -> tuple[Tensor, ...]:
        """Return what X is multiplied with from the right, one after the other."""
        if self.v is not None:
            return (self.v,)
        assert self.a is not None and self.b is not None
        return self.a, self.b

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        first, *second = self._factors()
        v = second[0] @ first if second else first
        return weight + self.scale * torch.kron(self.u, v), bias


DELTAS.register(KroneckerProduct)
