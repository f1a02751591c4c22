"""Hadamard: ΔW = s·(B₁·A₁) ⊙ (B₂·A₂)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn


class Hadamard(Delta):
    """Δh = (α/r)·((B₁ A₁) ⊙ (B₂ A₂)) x: two matrices of rank r make one of rank up to r².

    Paper: Hyeon-Woo et al. (2022), FedPara: Low-Rank Hadamard Product for Communication-Efficient
    Federated Learning; as LoHa in Yeh et al. (2024), LyCORIS.

    Shapes: x (…, fan_in), A (r, fan_in), B (fan_out, r), Δh (…, fan_out).
    Initialisation: Kaiming-uniform(√5), and A₂ zero, so Δh = 0.
    Trained: 2·r·(fan_in + fan_out).
    """

    name = "hadamard"
    linear = True
    low_precision = True

    def __init__(self, fan_in: int, fan_out: int, *, r: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / r
        self.b1, self.a1 = nn.Parameter(drawn(fan_out, r)), nn.Parameter(drawn(r, fan_in))
        self.b2 = nn.Parameter(drawn(fan_out, r))
        self.a2 = nn.Parameter(torch.zeros(r, fan_in))

    def update(self) -> Tensor:
        """Return ΔW (fan_out, fan_in)."""
        return self.scale * (self.b1 @ self.a1) * (self.b2 @ self.a2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.update().to(x.dtype))

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight + self.update(), bias


DELTAS.register(Hadamard)
