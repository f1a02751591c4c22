"""What to say of a search that ended: whether it looks converged, and what an hour would buy."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.records import TrialRecord
from autopeft.report.wording import figures
from autopeft.search.convergence import COHORT, Outlook, outlook

_HOUR_SECONDS = 3600.0


def foresight(
    records: Sequence[TrialRecord], *, higher_is_better: bool, percent: bool, workers: int
) -> list[str]:
    """Return lines on what further trials are expected to add; none where that cannot be said.

    Args:
        records: of the trials so far.
        higher_is_better: the metric's direction.
        percent: whether differences are told in points.
        workers: training processes.
    """
    found = outlook(records, higher_is_better=higher_is_better)
    if found is None:
        return []
    state = "looks converged" if found.converged else "has not converged"
    lines = [f"{state}: the next {COHORT} trials should {_lift(found, COHORT, percent)}"]
    spent = sum(record.costs.train_seconds or 0.0 for record in records)
    if spent > 0:
        lines.append(_ahead(found, workers * len(records) / spent, percent))
    return lines


def _ahead(found: Outlook, trials_per_second: float, percent: bool) -> str:
    """Return what an hour buys, or as many trials again, beyond which it would be a guess."""
    in_an_hour = max(1, round(_HOUR_SECONDS * trials_per_second))
    if in_an_hour <= found.trials:
        more, what = in_an_hour, f"another hour, about {in_an_hour:,} trials,"
    else:
        more = found.trials
        minutes = max(1, round(more / trials_per_second / 60))
        what = f"as many trials again, about {minutes} {'minute' if minutes == 1 else 'minutes'},"
    return f"{what} should {_lift(found, more, percent)}"


def _lift(found: Outlook, further: int, percent: bool) -> str:
    rise, most = (_amount(amount, percent) for amount in found.after(further))
    return f"lift the front by {rise} on average, by {most} at most"


def _amount(rise: float, percent: bool) -> str:
    return f"{100 * rise:.2f} points" if percent else figures(rise, 2)
