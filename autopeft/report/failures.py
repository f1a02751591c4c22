"""What was lost: failed trials grouped by cause."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.records import TrialRecord, TrialState


def by_cause(records: Sequence[TrialRecord]) -> list[tuple[str, list[TrialRecord]]]:
    """Return the failed trials of each cause, the most frequent cause first."""
    found: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.state is TrialState.FAILED:
            cause = "unknown" if record.cause is None else record.cause.value
            found.setdefault(cause, []).append(record)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def methods(records: Sequence[TrialRecord]) -> str:
    """Return the methods of trials as one text."""
    return ", ".join(sorted({record.candidate.method for record in records}))


def failures(records: Sequence[TrialRecord]) -> list[str]:
    """Return a line per cause, such as ``2 × out-of-memory: full (first: can't allocate …)``."""
    return [
        f"{len(same)} × {cause}: {methods(same)} (first: {same[0].message})"
        for cause, same in by_cause(records)
    ]
