"""What a training will take, estimated before it begins: memory and time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autopeft.methods import METHODS
from autopeft.methods.packing import PACK_BYTES, lowest_layer
from autopeft.records import BackboneShape, Candidate
from autopeft.search.portfolio import references
from autopeft.search.space import Space
from autopeft.train.epochs import evaluated_epochs

TRAININGS = 8
"""Full trainings of a reference that a time limit is to hold; fewer would be no search."""

_FLOAT_BYTES = 4
_MARGIN_OF_AN_ADAPTER = 1.25  # what was measured had none
_TRAINED_COPIES = 5  # weight, gradient, AdamW's two moments, and the best weights so far


def estimate_bytes(candidate: Candidate, space: Space, about: Mapping[str, Any]) -> int:
    """Return the expected peak memory of a training process.

    Args:
        candidate: what would be trained.
        space: narrowed to the backbone, for the exact number of parameters.
        about: the worker's report: its idle level, what a token takes in training steps of LoRA
            over all layers, and what an evaluation takes, as measured. What training freed is not
            given back before an evaluation, so both count.
    """
    assert space.shape is not None
    trained = space.count(candidate) + space.shape.head_params
    private = 0 if METHODS.get(candidate.method).low_precision else space.shape.total_params
    activations = about["bytes_per_token"] * candidate.batch_size * about["longest"]
    return int(
        about["idle_bytes"]
        + activations
        + about["evaluation_bytes"]
        + _FLOAT_BYTES * (_TRAINED_COPIES * trained + private)
    )


def pack_bytes(candidates: Sequence[Candidate], space: Space, about: Mapping[str, Any]) -> int:
    """Return the expected peak memory of a process that trains candidates in one pass."""
    each = [estimate_bytes(candidate, space, about) for candidate in candidates]
    common = about["idle_bytes"] + about["evaluation_bytes"]
    return int(sum(each) - (len(each) - 1) * common)


def most_memory(about: Mapping[str, Any], max_memory: int | None, workers: int) -> int | None:
    """Return how large a training process may become, None for as large as it can.

    On a processor, whoever takes more than there is gets killed. A GPU says so, and smaller batches
    are tried.

    Args:
        about: the report of the first worker, written before the others have begun.
        max_memory: what the user allows.
        workers: processes that share what there is.
    """
    if about["device"] != "cpu":
        return max_memory
    there = (about["idle_bytes"] + about["free_bytes"]) // workers
    return int(there if max_memory is None else min(there, max_memory))


def fit_in_memory(
    candidates: Sequence[Candidate], space: Space, about: Mapping[str, Any], most: int | None
) -> bool:
    """Return whether candidates may be trained in one pass; `most` is what `most_memory` says.

    On a processor, where larger packs hardly train faster, several together may take `PACK_BYTES`;
    on a GPU what is free there, as a pack that runs out of memory is begun again in halves.
    """
    needed = pack_bytes(candidates, space, about)
    room = PACK_BYTES if about["device"] == "cpu" else about["free_bytes"]
    if len(candidates) > 1 and needed - about["idle_bytes"] > room:
        return False
    return most is None or needed <= most


def memory_limit(
    about: Mapping[str, Any], space: Space, most: int | None
) -> Callable[[Candidate], str | None] | None:
    """Return a function that says why a candidate takes too much memory, None if it does not."""
    if most is None:
        return None
    limit = most

    def over(candidate: Candidate) -> str | None:
        expected = estimate_bytes(candidate, space, about)
        if expected <= limit:
            return None
        return f"takes about {expected / 1e9:.1f} GB of memory of {limit / 1e9:.1f} GB to be had"

    return over


def expected_seconds(candidate: Candidate, about: Mapping[str, Any]) -> float:
    """Return the expected time of a full training, its evaluations included.

    Layers below the lowest that it changes are run once, and replayed in every epoch. Training the
    backbone's own weights takes three products where an adapter takes two.

    Args:
        candidate: what would be trained; for each layer, as fast as default LoRA.
        about: the worker's report: the backbone's shape, rows per split, and the time of a row in a
            training step, and when it is scored.
    """
    shape, rows = BackboneShape.from_json(about["shape"]), about["rows"]
    replayed = lowest_layer(candidate, shape) / shape.layers
    epochs = evaluated_epochs(candidate.epochs, train_rows=rows[0], selection_rows=rows[1])
    products = 1.0 if METHODS.get(candidate.method).low_precision else 1.5
    scoring = scoring_seconds(about)
    once = replayed * scoring * sum(rows)
    often = products * candidate.epochs * rows[0] * about["row_seconds"]
    often += len(epochs) * rows[1] * scoring
    return float(once + (1 - replayed) * often)


def usual_seconds(space: Space, about: Mapping[str, Any], epochs: int | None = None) -> float:
    """Return the expected time of the longer of the references, 0 where none can run.

    Args:
        space: narrowed to the backbone.
        about: the worker's report.
        epochs: that they are trained; None for as many as they have.
    """
    return max(
        (
            expected_seconds(dataclasses.replace(one, epochs=epochs or one.epochs), about)
            for one in references(space).values()
        ),
        default=0.0,
    )


def affordable_epochs(space: Space, about: Mapping[str, Any], seconds: float) -> int:
    """Return the most epochs of which `TRAININGS` trainings of the references fit in a time.

    No more than the references have, and at least one.
    """
    longest = max((one.epochs for one in references(space).values()), default=1)
    affordable = (
        epochs
        for epochs in range(longest, 1, -1)
        if TRAININGS * usual_seconds(space, about, epochs) <= seconds
    )
    return next(affordable, 1)


def finish_seconds(about: Mapping[str, Any]) -> float:
    """Return the expected time from the cut of a training to its result, if that is kept.

    The selection rows are evaluated where it was cut, and again as it was saved.
    """
    return float(2 * about["rows"][1] * scoring_seconds(about))


def silent_seconds(about: Mapping[str, Any]) -> float:
    """Return the longest time for which a training is expected to give no sign of life.

    That is while frozen layers are run once on all rows, then the selection rows evaluated and a
    trained candidate finished.
    """
    return float(sum(about["rows"]) * scoring_seconds(about) + 1.5 * finish_seconds(about))


def delivery_rows(about: Mapping[str, Any], test_rows: int, *, merge: bool) -> int:
    """Return how many rows a delivery scores: all of selection once, those of test four times.

    With `merge`, those of selection twice more: before and after.
    """
    return (3 if merge else 1) * int(about["rows"][1]) + 4 * test_rows


def scoring_seconds(about: Mapping[str, Any]) -> float:
    """Return the expected time of scoring a row."""
    return float(_MARGIN_OF_AN_ADAPTER * about["scoring_seconds"])
