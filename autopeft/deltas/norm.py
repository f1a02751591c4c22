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
    the frozen norm's own rule, so every kind of norm will do, also one that multiplies n by
    1 + γ₀, as Gemma's: there, what the rule gives for zero weights is taken away.

    Shapes: x, the norm's input, and Δh (…, width), γ and β (width,).
    Initialisation: γ and β zero, so Δh = 0.
    Trained: 2·width; width for a norm without bias.
    """

    name = "norm"
    linear = True
    low_precision = True

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        assert isinstance(base.weight, Tensor)
        self._base = (base,)  # in a tuple, so that its weights are not this module's
        self.gain = nn.Parameter(torch.zeros(base.weight.shape))
        bias = getattr(base, "bias", None)
        self.offset = None if bias is None else nn.Parameter(torch.zeros(bias.shape))
        self._from_one = _gives_something_for_zero(base)

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del part
        return cls(base)

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gain.to(x.dtype)
        offset = None if self.offset is None else self.offset.to(x.dtype)
        changed = _normed(self._base[0], x, gain, offset)
        if not self._from_one:
            return changed
        nothing = None if offset is None else torch.zeros_like(offset)
        return changed - _normed(self._base[0], x, torch.zeros_like(gain), nothing)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        offset = None if bias is None or self.offset is None else bias + self.offset
        return weight + self.gain, offset


def _normed(base: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what a norm makes of x with other weights than its own."""
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    normed: Tensor = torch.func.functional_call(base, weights, (x,))
    return normed


def _gives_something_for_zero(base: nn.Module) -> bool:
    """Return whether a norm is not linear in its weights.

    Tried on the processor, because the norm itself may still be without values.
    """
    assert isinstance(base.weight, Tensor)
    shape = base.weight.shape
    zeros = torch.zeros(shape, device="cpu")
    with torch.no_grad():
        ramp = torch.linspace(-1, 1, shape[-1], device="cpu")
        bias = None if getattr(base, "bias", None) is None else zeros
        return bool(_normed(base, ramp, zeros, bias).any())


DELTAS.register(Norm)
