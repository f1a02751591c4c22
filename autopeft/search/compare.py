"""From the records of a study to the decision at a rung; see `rungs` for the rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autopeft.methods import METHODS
from autopeft.records import REFERENCES, RungPoint, TrialRecord, TrialState
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
    others = [record for record in records if record.number != number]
    crowd = _Crowd.at(point.rung, others, higher_is_better)
    entry = _entry(newcomer, gain(point.score, higher_is_better))
    return decide(
        entry,
        crowd.entries,
        rung=point.rung,
        head=crowd.head,
        hope=crowd.hope(entry),
        protected=newcomer.origin in REFERENCES,
    )


def second_chances(records: Sequence[TrialRecord], higher_is_better: bool) -> list[int]:
    """Return the numbers of stopped trials that would go on if they came to their rung now.

    What a rung sees changes: the more trials come to it, the more of them are among the first. What
    a time limit cut before its first rung was never compared.

    Args:
        records: of all trials that count.
        higher_is_better: the metric's direction.
    """
    stopped = {r.number: r.curve[-1].rung for r in records if _is_stopped(r)}
    found = [r.number for r in records if r.cut_share is not None and _is_unseen(r)]
    for rung in sorted(set(stopped.values())):
        crowd = _Crowd.at(rung, records, higher_is_better)
        hopes = [crowd.hope(entry) for entry in crowd.entries]
        first = again(crowd.entries, hopes, rung=rung, head=crowd.head)
        found += [
            number
            for number, is_first in zip(crowd.numbers, first, strict=True)
            if is_first and stopped.get(number) == rung
        ]
    return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crowd:
    """Everyone who came to a rung, failures left out.

    Args:
        numbers: of the trials, the head alone left out.
        entries: of these trials.
        head: the gain of the head alone; None while it is not known.
        growth: by family, the most that a trial gained from here to its end.
    """

    numbers: Sequence[int]
    entries: Sequence[Entry]
    head: float | None
    growth: Mapping[str, float]

    @classmethod
    def at(cls, rung: int, records: Iterable[TrialRecord], higher_is_better: bool) -> _Crowd:
        reached = [
            (record, gained)
            for record in records
            if record.state is not TrialState.FAILED
            and (gained := _gain(record, rung, higher_is_better)) is not None
        ]
        others = [(record, gained) for record, gained in reached if record.origin != "head"]
        heads = [gained for record, gained in reached if record.origin == "head"]
        return cls(
            numbers=[record.number for record, _ in others],
            entries=[_entry(record, gained) for record, gained in others],
            head=heads[0] if heads else None,
            growth=_growth(others, higher_is_better),
        )

    def hope(self, entry: Entry) -> float:
        """Return how much more a slow starter may still gain; others are taken as they are."""
        return self.growth.get(entry.family, 0.0) if entry.slow else 0.0


def _growth(
    reached: Iterable[tuple[TrialRecord, float]], higher_is_better: bool
) -> dict[str, float]:
    """Return by family the most that a trial gained from a rung to its end."""
    found: dict[str, float] = {}
    for record, gained in reached:
        if record.state is TrialState.COMPLETE:
            family = METHODS.get(record.candidate.method).family
            more = gain(record.score, higher_is_better) - gained
            found[family] = max(more, found.get(family, -math.inf))
    return found


def _is_stopped(record: TrialRecord) -> bool:
    return record.state is TrialState.STOPPED and bool(record.curve)


def _is_unseen(record: TrialRecord) -> bool:
    return record.state is TrialState.STOPPED and not record.curve


def _entry(record: TrialRecord, gained: float) -> Entry:
    info = METHODS.get(record.candidate.method)
    return Entry(
        gain=gained,
        size=size(record.costs.trainable_params),
        family=info.family,
        slow=slow_starter(record.candidate, info),
    )


def _gain(record: TrialRecord, rung: int, higher_is_better: bool) -> float | None:
    """Return the gain of a record at a rung, None if it did not get there."""
    scores = [point.score for point in record.curve if point.rung == rung]
    return gain(scores[-1], higher_is_better) if scores else None
