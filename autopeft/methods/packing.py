"""Which candidates can be trained in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from autopeft.deltas import Part
from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Candidate

ALONE = ("deberta", "deberta-v2", "longformer")
"""Architectures whose projections serve the positions too, which all candidates would share, or are
run on (S, B, width), where a candidate's share of the batch is not at one place."""

PACK_BYTES = 1_200_000_000
"""What the candidates of a pack may take together, on a processor."""


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
    info = METHODS.get(candidate.method)
    if shape.architecture in ALONE or (info.recipe is None and info.family != "head"):
        return None
    parts = _parts(candidate, shape)
    if any(part.changes == "logits" for part in parts):
        return None
    tokens = sum(int(part.settings["tokens"]) for part in parts if part.changes == "prompt")
    return PackKey(candidate.batch_size, tokens, lowest_layer(candidate, shape))


def lowest_layer(candidate: Candidate, shape: BackboneShape) -> int:
    """Return the lowest layer that a candidate trains or changes, as far as its recipe tells.

    Of the head alone, or in a decoder over an encoder, that is the number of layers that can be
    replayed; of a method without a recipe 0.
    """
    info = METHODS.get(candidate.method)
    if info.recipe is None:
        return _replayable(shape) if info.family == "head" else 0
    lowest = min(part.layer for part in _parts(candidate, shape))
    return min(max(0, lowest), _replayable(shape))


def _replayable(shape: BackboneShape) -> int:
    """Return the number of layers, of an encoder-decoder those of the encoder."""
    if shape.kind != "encoder-decoder":
        return shape.layers
    return min(module.layer for module in shape.modules if "decoder." in module.name)


def _parts(candidate: Candidate, shape: BackboneShape) -> Sequence[Part]:
    recipe = METHODS.get(candidate.method).recipe
    return () if recipe is None else recipe(shape, candidate.placement, candidate.knobs)
