"""Which candidates can be trained in one pass."""

from __future__ import annotations

from typing import NamedTuple

from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Candidate

ALONE = ("deberta", "deberta-v2")
"""Architectures whose projections serve the positions too, which all candidates would share."""


class PackKey(NamedTuple):
    """What candidates have in common that share a pass.

    Attributes:
        batch_size: examples per optimizer step.
        prompt_tokens: length of the soft prompt; 0 without one.
        lowest_layer: below it nothing is trained or changed, so that it can be replayed; together
            with one that starts lower, a candidate would lose that.
    """

    batch_size: int
    prompt_tokens: int
    lowest_layer: int


def pack_key(candidate: Candidate, shape: BackboneShape) -> PackKey | None:
    """Return what a candidate must have in common with others to share a pass with them.

    Args:
        candidate: with all its knobs and its placement.
        shape: of the backbone.

    Returns:
        None for one that goes alone: it trains more than our own deltas and the head, or the
        backbone is one of `ALONE`; see `autopeft.tuner.Pack`.
    """
    if shape.architecture in ALONE:
        return None
    info = METHODS.get(candidate.method)
    tokens, lowest = 0, shape.layers
    if info.recipe is not None:
        parts = info.recipe(shape, candidate.placement, candidate.knobs)
        if any(part.changes == "logits" for part in parts):
            return None
        tokens = sum(int(part.settings["tokens"]) for part in parts if part.changes == "prompt")
        lowest = max(0, min(part.layer for part in parts))
    elif info.family != "head":
        return None
    return PackKey(candidate.batch_size, tokens, lowest)
