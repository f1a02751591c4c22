"""What trains in an adapted model: how much it is, and how to keep and put back its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_MARK = "autopeft_adaptation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What an adapted model remembers of how it was made.

    Args:
        method: its name.
        heads: names of the head's modules.
    """

    method: str
    heads: tuple[str, ...]


def mark(model: nn.Module, adaptation: Adaptation) -> None:
    """Let a model remember how it was made."""
    setattr(model, _MARK, adaptation)


def adaptation_of(model: nn.Module) -> Adaptation:
    """Return how a model from `adapt` or `load_artifact` was made."""
    made = getattr(model, _MARK, None)
    assert isinstance(made, Adaptation), "not a model from adapt or load_artifact"
    return made


def trainable(model: nn.Module) -> tuple[int, int]:
    """Return the number of trained parameters (without the head, of the head).

    Counted on the model itself, tied weights once; independent of the methods' formulas.
    """
    heads = tuple(f".{head}." for head in adaptation_of(model).heads)
    sizes = {"adapter": 0, "head": 0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "head" if any(head in f".{name}." for head in heads) else "adapter"
            sizes[part] += parameter.numel()
    return sizes["adapter"], sizes["head"]


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all trained tensors by name, for keeping the best epoch in memory."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def load_trainable_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put back what `trainable_state` took from a model of the same candidate.

    Raises:
        ValueError: the state is another model's.
    """
    import torch

    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise ValueError(f"the state is of another model; they differ in {odd[0]}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
