"""Which candidates can be trained in one pass."""

from __future__ import annotations

from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Candidate

PackKey = tuple[int, int]
"""Examples per optimizer step, and tokens of the soft prompt."""


def pack_key(candidate: Candidate, shape: BackboneShape) -> PackKey | None:
    """Return what candidates must have in common to share a pass; None for one that goes alone.

    Alone goes what does not train through our own deltas; see `autopeft.tuner.Pack`.

    Args:
        candidate: with all its knobs and its placement.
        shape: of the backbone.
    """
    info = METHODS.get(candidate.method)
    if info.recipe is None:
        return (candidate.batch_size, 0) if info.family == "head" else None
    parts = info.recipe(shape, candidate.placement, candidate.knobs)
    prompts = (part for part in parts if part.changes == "prompt")
    return candidate.batch_size, sum(int(part.settings["tokens"]) for part in prompts)
