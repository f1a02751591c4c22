"""Kronecker: ΔW = s·Σ (a_i b_iᵀ) ⊗ (u_i v_iᵀ)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part

SPREAD = 0.01


class SlowFactors(nn.Module):
    """The vectors a_i and b_i that every projection of a model shares.

    Shapes: a and b (terms, side).
    Initialisation: normal, of spread 0.01.
    Trained: 2·terms·side.
    """

    def __init__(self, terms: int, side: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(terms, side) * SPREAD)
        self.b = nn.Parameter(torch.randn(terms, side) * SPREAD)


class Kronecker(Delta):
    """Δh = s·Σ_i ((a_i b_iᵀ) ⊗ (u_i v_iᵀ)) x, with a_i and b_i shared by all layers.

    Paper: He et al. (2023), Parameter-efficient Model Adaptation for Vision Transformers. Since
    (a bᵀ) ⊗ (u vᵀ) = (a ⊗ u)(b ⊗ v)ᵀ, the sum is applied as a product of low rank and no large
    matrix is made. `side`, the length of a_i and b_i, must divide both widths.

    Shapes: x (…, fan_in), u (terms, fan_out/side), v (terms, fan_in/side), Δh (…, fan_out).
    Initialisation: u zero, so Δh = 0, and v Glorot-uniform. The authors' code has both at zero,
    where neither gets a gradient.
    Trained: terms·(fan_in + fan_out)/side; once for all, 2·terms·side.
    """

    name = "kronecker"
    linear = True
    low_precision = True

    def __init__(
        self, fan_in: int, fan_out: int, *, terms: int, side: int, scale: float = 160.0
    ) -> None:
        super().__init__()
        self.scale = scale
        bound = math.sqrt(6 / (fan_in // side + 1))
        self.u = nn.Parameter(torch.zeros(terms, fan_out // side))
        self.v = nn.Parameter(torch.empty(terms, fan_in // side).uniform_(-bound, bound))

    @classmethod
    def shared(cls, part: Part) -> nn.Module:
        return SlowFactors(int(part.settings["terms"]), int(part.settings["side"]))

    def forward(self, x: Tensor, *, shared: SlowFactors) -> Tensor:
        left, right = _rows(shared.a, self.u), _rows(shared.b, self.v)
        inner = nn.functional.linear(x, right.to(x.dtype))
        return nn.functional.linear(inner, (left.mT * self.scale).to(x.dtype))

    def folded(
        self, weight: Tensor, bias: Tensor | None, *, shared: nn.Module | None = None
    ) -> tuple[Tensor, Tensor | None]:
        assert isinstance(shared, SlowFactors)
        left, right = _rows(shared.a, self.u), _rows(shared.b, self.v)
        return weight + self.scale * left.mT @ right, bias


def _rows(slow: Tensor, fast: Tensor) -> Tensor:
    """Return the Kronecker product of each pair of rows: (n, p) and (n, q) make (n, p·q)."""
    return torch.einsum("np,nq->npq", slow, fast).flatten(-2)


DELTAS.register(Kronecker)
