"""Which model is delivered: finalists, the rule of preference, and the sentence why.

Paper: Breiman et al. (1984) for the rule of one standard error: of all that are not measurably
worse than the best, the simplest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from autopeft.config import USUAL_WITHIN
from autopeft.errors import ConfigError, NoCandidateError
from autopeft.records import REFERENCES, TrialRecord, TrialState
from autopeft.search.bootstrap import RESAMPLES, Resampled, bootstrap, usable
from autopeft.search.expected import expected
from autopeft.search.finalist import Choice, Finalist
from autopeft.search.front import Point, fronts, gain, size
from autopeft.search.reason import reason
from autopeft.search.standing import Tolerance, compared, order, ranked

POINT = 0.01
"""What a point is worth where scores are shares or correlations."""


def finalists(records: Sequence[TrialRecord], *, higher_is_better: bool, k: int = 5) -> list[int]:
    """Return the numbers of the trials to repeat with further seeds.

    They are the `k` members of the front with the best scores, best first, filled up from the
    fronts behind it, because a single lucky seed can hide the better candidate; then the default
    and the head alone where they are not among them.
    """
    done = [r for r in records if r.state is TrialState.COMPLETE and r.score is not None]
    points = [
        Point(gain=gain(r.score, higher_is_better), size=size(r.costs.trainable_params))
        for r in done
    ]
    names = [r.candidate.fingerprint for r in done]  # numbers change where a trial is begun again
    ranked = [
        done[i].number
        for front in fronts(points)
        for i in sorted(front, key=lambda i: (-points[i].gain, points[i].size, names[i]))
    ]
    chosen = ranked[:k]
    for origin in REFERENCES:
        chosen += [r.number for r in done if r.origin == origin and r.number not in chosen]
    return chosen


def tolerance(within: str, point: float = POINT) -> Tolerance:
    """Return the rule that a ``--within`` names: ``0``, ``1se``, ``2se``, ``0.5pt`` …

    Of several, separated by commas, the narrowest holds: ``1se,0.5pt`` is within one standard error
    and at most half a point.

    Args:
        within: what it is called.
        point: what a point (``pt``) is worth in units of the metric.

    Raises:
        ConfigError: it is none of these.
    """
    limits = [_limit(part.strip(), within, point) for part in within.split(",")]
    return lambda error: min(limit(error) for limit in limits)


def _limit(part: str, within: str, point: float) -> Tolerance:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(se|pt)|0", part)
    if match is None:
        raise ConfigError(f"--within {within!r}; allowed: 0, 1se, 2se, 0.5pt or the like")
    amount, unit = float(match[1] or 0), match[2]
    return lambda error: amount * (error if unit == "se" else point)


def choose(
    candidates: Sequence[Finalist],
    resampled: Resampled,
    *,
    rows: int,
    higher_is_better: bool,
    within: str = USUAL_WITHIN,
    point: float = POINT,
    floor: float | None = None,
    percent: bool = True,
    bounds: tuple[float, float] = (0.0, 1.0),
    tried: Sequence[Point] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Choice:
    """Choose the fewest trained parameters among those that are not measurably worse than the best.

    A candidate is admissible if it is within the tolerance of the best *and* of the default, better
    than the head alone (unless it is the head) and better than `floor`. Ties go to the smaller
    artifact, then the fingerprint. If nothing is admissible it is the best.

    Args:
        candidates: the finalists.
        resampled: from predictions (N,) and weights (B, N), the metric on each resample (B,).
        rows: N, rows of the selection split.
        higher_is_better: the metric's direction.
        within: how far below the best is allowed, see `tolerance`.
        point: what a point of it is worth.
        floor: score of a model that learnt nothing (the majority class).
        percent: whether the reason prints scores as percentages.
        bounds: smallest and largest possible score.
        tried: first scores and sizes of all trials that came to their end, from which the finalists
            were picked; they say how much of the best score is luck.
        seed: of the resampling.
        resamples: B.

    Raises:
        NoCandidateError: no eligible finalist has a score.
    """
    allowed = tolerance(within, point)
    measured = [c for c in candidates if usable(c.replicates)]
    if not any(c.eligible for c in measured):
        raise NoCandidateError("no finalist that may be chosen has a score")
    evidence = bootstrap(
        [usable(c.replicates) for c in measured],
        resampled,
        rows=rows,
        seed=seed,
        resamples=resamples,
    )
    if not higher_is_better:
        evidence = replace(evidence, draws=-evidence.draws)
    table = ranked(measured, evidence.draws, higher_is_better, allowed, floor)
    chosen = min((r for r in table if r.admissible), key=lambda row: order(row.finalist))
    table = compared(table, chosen, measured, evidence.draws)
    chosen = next(row for row in table if row.finalist is chosen.finalist)
    new = expected(chosen, measured, evidence, tried, higher_is_better, seed)
    lowest, highest = bounds
    new = replace(new, low=max(lowest, new.low), high=min(highest, new.high))
    return Choice(
        number=chosen.finalist.number,
        seed=chosen.seed,
        table=table,
        reason=reason(chosen, table, new, within=within, point=point, percent=percent),
        expected=new,
    )
