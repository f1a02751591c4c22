"""Weight-decomposed: h = m·(W + s·B·A)·x / ‖W + s·B·A‖."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn, frozen_weight

if TYPE_CHECKING:
    from autopeft.deltas import Part


class WeightDecomposed(Delta):
    """Δh = (g − 1) ⊙ (h − bias) + g ⊙ s·B A x, with g = m / ‖W + s·B A‖ for each output.

    Paper: Liu et al. (2024), DoRA: Weight-Decomposed Low-Rank Adaptation. The norm is that of the
    weight's rows and is taken as a constant on the way back (their section 4.3). With `rslora`,
    s = α/√r instead of α/r. Dropout is before the update alone, not before the frozen product.

    Shapes: x (…, fan_in), h and Δh (…, fan_out), A (r, fan_in), B (fan_out, r), m (fan_out,).
    Initialisation: A Kaiming-uniform(√5), B zero and m the norm, so Δh = 0.
    Trained: r·(fan_in + fan_out) + fan_out.
    """

    name = "weight_decomposed"
    linear = True
    low_precision = True
    reads_weight = True
    reads_output = True

    def __init__(self, base: nn.Module, *, r: int, alpha: float, rslora: bool = False) -> None:
        super().__init__()
        weight = frozen_weight(base)
        self._base = (base,)  # in a tuple, so that its weights are not this module's
        self.scale = alpha / (math.sqrt(r) if rslora else r)
        self.a = nn.Parameter(drawn(r, weight.shape[1]))
        self.b = nn.Parameter(torch.zeros(weight.shape[0], r))
        self.magnitude = nn.Parameter(weight.norm(dim=1))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        settings: dict[str, Any] = {**part.settings}
        return cls(base, **settings)

    def forward(self, x: Tensor, *, output: Tensor, weight: Tensor) -> Tensor:
        gain = self.magnitude / self._norm(weight)
        low = nn.functional.linear(x, self.a.to(x.dtype))
        update = nn.functional.linear(low, (gain[:, None] * self.b * self.scale).to(x.dtype))
        bias = getattr(self._base[0], "bias", None)
        product = output if bias is None else output - bias.to(output.dtype)
        return (gain - 1).to(product.dtype) * product + update

    def _norm(self, weight: Tensor) -> Tensor:
        """Return the norm (fan_out,) of each row of W + s·B·A, which is never made."""
        a, b = self.a.detach(), self.b.detach() * self.scale
        squares = weight.square().sum(1) + ((2 * weight @ a.mT + b @ (a @ a.mT)) * b).sum(1)
        return squares.sqrt()

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        changed = weight + self.scale * self.b @ self.a
        return (self.magnitude / changed.norm(dim=1))[:, None] * changed, bias


DELTAS.register(WeightDecomposed)
