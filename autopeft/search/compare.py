"""From the records of a study to the decision at a rung; see `rungs` for the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autopeft.methods import METHODS
from autopeft.records import RungPoint, TrialRecord, TrialState
from autopeft.search.front import gain, size
from autopeft.search.rungs import Entry, decide, slow_starter

Compare = Callable[[int, RungPoint, Sequence[TrialRecord], bool], bool]
"""What `goes_on` is: from a trial's number, what it reported, all records and the direction."""


def goes_on(
    number: int, point: RungPoint, records: Sequence[TrialRecord], higher_is_better: bool
) -> bool:
    """Return whether a trial goes on from the point it just reported.

    Args:
        number: of the trial.
        point: what it reported.
        records: of all trials that count, its own included.
        higher_is_better: the metric's direction.
    """
    newcomer = next(record for record in records if record.number == number)
    others = [r for r in records if r.number != number and r.state is not TrialState.FAILED]
    reached = [(r, g) for r in others if (g := _gain(r, point.rung, higher_is_better)) is not None]
    heads = [gained for record, gained in reached if record.origin == "head"]
    entry = _entry(newcomer, gain(point.score, higher_is_better))
    growth = [
        gain(record.score, higher_is_better) - gained
        for record, gained in reached
        if record.state is TrialState.COMPLETE and _family(record) == entry.family
    ]
    return decide(
        entry,
        [_entry(record, gained) for record, gained in reached if record.origin != "head"],
        rung=point.rung,
        head=heads[0] if heads else None,
        hope=max(growth) if growth and entry.slow else 0.0,
        protected=newcomer.origin in ("default", "head"),
    )


def _entry(record: TrialRecord, gained: float) -> Entry:
    info = METHODS.get(record.candidate.method)
    return Entry(
        gain=gained,
        size=size(record.costs.trainable_params),
        family=info.family,
        slow=slow_starter(record.candidate, info),
    )


def _family(record: TrialRecord) -> str:
    return METHODS.get(record.candidate.method).family


def _gain(record: TrialRecord, rung: int, higher_is_better: bool) -> float | None:
    """Return the gain of a record at a rung, None if it did not get there."""
    scores = [point.score for point in record.curve if point.rung == rung]
    return gain(scores[-1], higher_is_better) if scores else None
