"""Cut: inner neurons of a feed-forward taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, frozen_weight

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Cut(Delta):
    """Δh = (k − 1) ⊙ h with k one for the neurons that stay and zero for the others.

    Which ones go follows from the frozen weight: those whose columns are smallest in magnitude.

    Paper: Chen et al. (2023), DSEE: Dually Sparsity-embedded Efficient Tuning of Pre-trained
    Language Models.

    Shapes: h and Δh (…, width), k (width,).
    Initialisation: k from the weight; Δh is not zero.
    Trained: nothing; k is stored.

    Args:
        weight: of the projection that reads the neurons (fan_out, width).
        share: of the neurons that go.
    """

    name = "cut"
    linear = True
    folds = (("input", "input"),)
    stays: Tensor

    def __init__(self, weight: Tensor, *, share: float) -> None:
        super().__init__()
        order = weight.norm(dim=0).argsort()
        stays = torch.ones(weight.shape[1], dtype=torch.bool, device=weight.device)
        stays[order[: round(share * len(order))]] = False
        self.register_buffer("stays", stays)

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        return cls(frozen_weight(base), share=float(part.settings["share"]))

    def forward(self, h: Tensor) -> Tensor:
        return (self.stays.to(h.dtype) - 1) * h

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight * self.stays, bias


DELTAS.register(Cut)
