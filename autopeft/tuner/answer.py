"""Scores that a verbaliser adds to the logits of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autopeft.backbone.answer import answer_head
from autopeft.deltas import Part
from autopeft.deltas.verbaliser import TENSORS

if TYPE_CHECKING:
    from autopeft.tuner.layer import DeltaLayer


def verbaliser_in(parts: Sequence[Part]) -> Part | None:
    """Return the part of an adapter that changes the logits, None if there is none."""
    return next((part for part in parts if part.changes == "logits"), None)


def fill(layer: DeltaLayer, adapter: str, part: Part) -> None:
    """Give a verbaliser its checkpoint's values, unless an artifact is to bring them."""
    if "checkpoint" not in part.settings:
        return
    words = [answer.split() for answer in str(part.settings["words"]).split("/")]
    tokens = tuple(tuple(int(number) for number in answer) for answer in words)
    found = answer_head(str(part.settings["checkpoint"]), tokens)
    (verbaliser,) = (actor.delta for actor in layer.deltas(adapter).which("logits"))
    values = (*found.dense, *found.norm, *found.answers)
    with torch.no_grad():
        for name, value in zip(TENSORS, values, strict=True):
            verbaliser.get_buffer(name).copy_(value)


@contextmanager
def keeping(layer: DeltaLayer) -> Iterator[list[Tensor]]:
    """Keep what a layer puts out while the model runs.

    It is scored afterwards: what happens inside a layer under gradient checkpointing has to happen
    again on the way back.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        del module, inputs
        kept[:] = [output]

    handle = layer.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def answered(layer: DeltaLayer, states: Tensor, logits: Tensor) -> Tensor:
    """Return the logits (B, C) with the scores of the active adapter's verbaliser, if it is on.

    Args:
        layer: where it sits.
        states: what that puts out, (B, S, width).
        logits: the head's.
    """
    for actor in layer.acting("logits"):
        wide = states.to(actor.delta.get_buffer(TENSORS[0]).dtype)
        logits = logits + actor.delta(wide).to(logits.dtype)
    return logits
