"""What was lost: failed trials grouped by cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from autopeft.records import TrialRecord, TrialState


def failures(records: Sequence[TrialRecord]) -> list[str]:
    """Return a line per cause, such as ``2 × out-of-memory: full (first: can't allocate …)``."""
    failed = [record for record in records if record.state is TrialState.FAILED]
    lines = []
    for cause, count in Counter(record.cause for record in failed).most_common():
        same = [record for record in failed if record.cause is cause]
        methods = ", ".join(sorted({record.candidate.method for record in same}))
        name = "unknown" if cause is None else cause.value
        lines.append(f"{count} × {name}: {methods} (first: {same[0].message})")
    return lines
