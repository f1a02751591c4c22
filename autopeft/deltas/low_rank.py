"""Low rank: Δh = s·B·A·x."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn


class LowRank(Delta):
    """Δh = s · B A x, of rank r.

    Paper: Hu et al. (2022), LoRA; s = α/r. With `rslora`, s = α/√r (Kalajdzievski, 2023). With
    `freeze_a` only B trains (Zhang et al., 2023, LoRA-FA). With `scaled` off, s = 1: a gate stands
    in its place (Mao et al., 2022, UniPELT).

    Shapes: x (…, fan_in), A (r, fan_in), B (fan_out, r), Δh (…, fan_out).
    Initialisation: A Kaiming-uniform(√5), B zero, so Δh = 0.
    Trained: r·(fan_in + fan_out); with `freeze_a` r·fan_out.
    """

    name = "low_rank"
    linear = True
    low_precision = True

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        r: int,
        alpha: float = 1.0,
        rslora: bool = False,
        freeze_a: bool = False,
        scaled: bool = True,
    ) -> None:
        super().__init__()
        self.scale = (alpha / (math.sqrt(r) if rslora else r)) if scaled else 1.0
        self.a = nn.Parameter(drawn(r, fan_in), requires_grad=not freeze_a)
        self.b = nn.Parameter(torch.zeros(fan_out, r))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a.to(x.dtype), (self.b * self.scale).to(x.dtype)
        return nn.functional.linear(nn.functional.linear(x, a), b)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight + self.scale * self.b @ self.a, bias


DELTAS.register(LowRank)
