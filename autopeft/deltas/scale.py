"""Scale: Δh = (l − 1) ⊙ h."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Scale(Delta):
    """Δh = (l − 1) ⊙ h, so that h becomes l ⊙ h.

    Paper: Liu et al. (2022), Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
    In-Context Learning: (IA)³.

    Shapes: h and Δh (…, width), l (width,).
    Initialisation: l one, so Δh = 0.
    Trained: width.
    """

    name = "scale"
    linear = True
    low_precision = True
    folds = (("input", "input"), ("output", "output"))

    def __init__(self, width: int, *, on_input: bool) -> None:
        super().__init__()
        self._on_input = on_input
        self.factors = nn.Parameter(torch.ones(width))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del base
        return cls(part.fan_out, on_input=part.changes == "input")

    def forward(self, h: Tensor) -> Tensor:
        return (self.factors - 1).to(h.dtype) * h

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self._on_input:
            return weight * self.factors, bias
        return weight * self.factors[:, None], None if bias is None else bias * self.factors


DELTAS.register(Scale)
