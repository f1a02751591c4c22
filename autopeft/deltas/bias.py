"""Bias: Δh = b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Bias(Delta):
    """Δh = b, the same for every token.

    Paper: Ben Zaken et al. (2022), BitFit: Simple Parameter-efficient Fine-tuning for
    Transformer-based Masked Language-models. Beside a frozen bias b₀ this trains b₀ + b.

    Shapes: h (…, width), b (width,), Δh (width,).
    Initialisation: zero.
    Trained: width.
    """

    name = "bias"
    linear = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(width))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del base
        return cls(part.fan_out)

    def forward(self, h: Tensor) -> Tensor:
        del h
        return self.offset

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight, self.offset if bias is None else bias + self.offset


DELTAS.register(Bias)
