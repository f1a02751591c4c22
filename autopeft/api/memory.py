"""The memory a training will take, estimated before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.search.space import Space

_FLOAT_BYTES = 4
_TRAINED_COPIES = 4  # weight, gradient and AdamW's two moments


def estimate_bytes(candidate: Candidate, space: Space, about: Mapping[str, Any]) -> int:
    """Return the expected peak memory of a training process.

    Args:
        candidate: what would be trained.
        space: narrowed to the backbone, for the exact number of parameters.
        about: the worker's report: its idle level, and the activations per token of one step of
            LoRA over all layers, as measured.
    """
    assert space.shape is not None
    trained = space.count(candidate) + space.shape.head_params
    private = 0 if METHODS.get(candidate.method).low_precision else space.shape.total_params
    activations = about["bytes_per_token"] * candidate.batch_size * about["longest"]
    return int(
        about["idle_bytes"] + activations + _FLOAT_BYTES * (_TRAINED_COPIES * trained + private)
    )


def memory_limit(
    about: Mapping[str, Any], space: Space, max_memory: int | None
) -> Callable[[Candidate], str | None] | None:
    """Return a function that says why a candidate takes too much memory, None if it does not."""
    if max_memory is None:
        return None
    limit = max_memory

    def over(candidate: Candidate) -> str | None:
        expected = estimate_bytes(candidate, space, about)
        if expected <= limit:
            return None
        return f"takes about {expected / 1e9:.1f} GB of memory of {limit / 1e9:.1f} GB allowed"

    return over
