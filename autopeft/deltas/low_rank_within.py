"""Low rank, begun within the weight: Δh = s·(B·A − B₀·A₀)·x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, frozen_weight

if TYPE_CHECKING:
    from autopeft.deltas import Part

BEGINNINGS = ("principal", "orthonormal")


class LowRankWithin(Delta):
    """Δh = (α/r)·(B A − B₀ A₀) x, where B₀ A₀ is a piece of rank r of the frozen weight.

    Papers: Meng et al. (2024), PiSSA, which begins with the principal singular values and vectors;
    Büyükakyüz (2024), OLoRA, which begins with the first columns of W's QR decomposition. Both take
    the piece out of the weight and train it there. Here the weight stays whole and the piece is
    taken off the change, which is the same function of A and B, with the same gradients.

    Shapes: x (…, fan_in), A and A₀ (r, fan_in), B and B₀ (fan_out, r), Δh (…, fan_out).
    Initialisation: A = A₀ and B = B₀, so Δh = 0.
    Trained: r·(fan_in + fan_out).
    """

    name = "low_rank_within"
    linear = True
    low_precision = True
    first_a: Tensor
    first_b: Tensor

    def __init__(self, a: Tensor, b: Tensor, *, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / len(a)
        self.a, self.b = nn.Parameter(a.clone()), nn.Parameter(b.clone())
        self.register_buffer("first_a", a)
        self.register_buffer("first_b", b)

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        r, alpha = int(part.settings["r"]), float(part.settings["alpha"])
        taken = _principal if part.settings["begins"] == "principal" else _orthonormal
        return cls(*taken(frozen_weight(base), r, alpha / r), alpha=alpha)

    def doubled(self) -> tuple[Tensor, Tensor]:
        """Return A' = [A; A₀] (2r, fan_in) and B' = [B, −B₀] (fan_out, 2r): Δh = s·B'·A'·x."""
        return torch.cat([self.a, self.first_a]), torch.cat([self.b, -self.first_b], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.doubled()
        inner = nn.functional.linear(x, a.to(x.dtype))
        return nn.functional.linear(inner, (b * self.scale).to(x.dtype))

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        a, b = self.doubled()
        return weight + self.scale * b @ a, bias


def _principal(weight: Tensor, r: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return A₀ and B₀, where s·B₀·A₀ is the best matrix of rank r to the weight."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    roots = (values[:r] / scale).sqrt()
    return roots[:, None] * right[:r], left[:, :r] * roots


def _orthonormal(weight: Tensor, r: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return the first rows of R and the first columns of Q, whatever the scale."""
    del scale
    columns, rows = torch.linalg.qr(weight)
    return rows[:r].contiguous(), columns[:, :r].contiguous()


DELTAS.register(LowRankWithin)
