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
    """Δh = b, the same for every token, or for every patch of an image.

    Paper: Ben Zaken et al. (2022), BitFit: Simple Parameter-efficient Fine-tuning for
    Transformer-based Masked Language-models. Beside a frozen bias b₀ this trains b₀ + b.

    Shapes: h (…, width), b (width,), Δh (width,); at a convolution, or beside a bias of that shape,
    h (B, width, …) and Δh (width, 1, …).
    Initialisation: zero.
    Trained: width.
    """

    name = "bias"
    linear = True
    low_precision = True

    def __init__(self, width: int, *, places: int = 0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(width))
        self._shape = (width, *([1] * places))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        bias = getattr(base, "bias", None)
        places = 0 if bias is None else bias.dim() - 1
        if isinstance(base, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            places = base.weight.dim() - 2
        return cls(part.fan_out, places=places)

    def forward(self, h: Tensor) -> Tensor:
        del h
        return self.offset.view(self._shape)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight, self.offset if bias is None else bias + self.offset.view_as(bias)


DELTAS.register(Bias)
