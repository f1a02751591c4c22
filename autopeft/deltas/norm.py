"""Norm: the gain and the bias of a norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Norm(Delta):
    """Δh = γ ⊙ n + β for the frozen norm's output h = γ₀ ⊙ n + β₀; n is what it normalised.

    Paper: Qi et al. (2022), Parameter-Efficient Tuning on Layer Normalization for Pre-trained
    Language Models. What trains are the differences to the frozen gain and bias; n is computed by
    the frozen norm's own rule, so every kind of norm will do.

    Shapes: x, the norm's input, and Δh (…, width), γ and β (width,).
    Initialisation: γ and β zero, so Δh = 0.
    Trained: 2·width; width for a norm without bias.
    """

    name = "norm"
    linear = True

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        assert isinstance(base.weight, Tensor)
        self._base = (base,)  # in a tuple, so that its weights are not this module's
        self.gain = nn.Parameter(torch.zeros(base.weight.shape))
        bias = getattr(base, "bias", None)
        self.offset = None if bias is None else nn.Parameter(torch.zeros(bias.shape))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del part
        return cls(base)

    def forward(self, x: Tensor) -> Tensor:
        weights: dict[str, Tensor] = {"weight": self.gain}
        if self.offset is not None:
            weights["bias"] = self.offset
        changed: Tensor = torch.func.functional_call(self._base[0], weights, (x,))
        return changed

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        offset = None if bias is None or self.offset is None else bias + self.offset
        return weight + self.gain, offset


DELTAS.register(Norm)
