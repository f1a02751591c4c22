"""From the records of a study to the decision at a rung; see `rungs` for the rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from autopeft.methods import METHODS
from autopeft.records import RungPoint, TrialRecord, TrialState
from autopeft.search.front import gain, size
from autopeft.search.rungs import Entry, again, decide, slow_starter

SecondChances = Callable[[Sequence[TrialRecord], bool], Sequence[int]]
"""What `second_chances` is: from all records and the direction, who is begun again."""

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
    growth = _growth(reached, higher_is_better).get(entry.family, 0.0)
    return decide(
        entry,
        [_entry(record, gained) for record, gained in reached if record.origin != "head"],
        rung=point.rung,
        head=heads[0] if heads else None,
        hope=growth if entry.slow else 0.0,
        protected=newcomer.origin in ("default", "head"),
    )


def second_chances(records: Sequence[TrialRecord], higher_is_better: bool) -> list[int]:
    """Return the numbers of stopped trials that would go on if they came to their rung now.

    What a rung sees changes: the more trials come to it, the more of them are among the first.

    Args:
        records: of all trials that count.
        higher_is_better: the metric's direction.
    """
    tried = [r for r in records if r.state is not TrialState.FAILED]
    stopped = {r.number: r.curve[-1].rung for r in tried if _is_stopped(r)}
    found = []
    for rung in sorted(set(stopped.values())):
        reached = [(r, g) for r in tried if (g := _gain(r, rung, higher_is_better)) is not None]
        heads = [gained for record, gained in reached if record.origin == "head"]
        others = [(record, gained) for record, gained in reached if record.origin != "head"]
        entries = [_entry(record, gained) for record, gained in others]
        growth = _growth(others, higher_is_better)
        first = again(
            entries,
            [growth.get(entry.family, 0.0) if entry.slow else 0.0 for entry in entries],
            rung=rung,
            head=heads[0] if heads else None,
        )
        found += [
            record.number
            for (record, _), is_first in zip(others, first, strict=True)
            if is_first and stopped.get(record.number) == rung
        ]
    return sorted(found)


def _growth(
    reached: Iterable[tuple[TrialRecord, float]], higher_is_better: bool
) -> dict[str, float]:
    """Return by family the most that a trial gained from a rung to its end."""
    found: dict[str, float] = {}
    for record, gained in reached:
        if record.state is TrialState.COMPLETE:
            more = gain(record.score, higher_is_better) - gained
            found[_family(record)] = max(more, found.get(_family(record), -math.inf))
    return found


def _is_stopped(record: TrialRecord) -> bool:
    return record.state is TrialState.STOPPED and bool(record.curve)


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
