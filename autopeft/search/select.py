"""Which model is delivered: finalists, the one-standard-error rule, and the sentence why.

Paper: Breiman et al. (1984) for the rule of one standard error: of all that are not measurably
worse than the best, the simplest.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from autopeft.errors import ConfigError, NoCandidateError
from autopeft.records import TrialRecord, TrialState
from autopeft.search.bootstrap import (
    RESAMPLES,
    Replicate,
    Resampled,
    best_shares,
    bootstrap,
    standard_error,
    usable,
)
from autopeft.search.finalist import Choice, Finalist, Row
from autopeft.search.front import Point, fronts, gain, size
from autopeft.search.reason import reason

Tolerance = Callable[[float], float]
"""From a standard error, how far below the best a candidate may be."""

_ROUNDING = 1e-12


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
    ranked = [
        done[i].number
        for front in fronts(points)
        for i in sorted(front, key=lambda i: (-points[i].gain, points[i].size, done[i].number))
    ]
    chosen = ranked[:k]
    for origin in ("default", "head"):
        chosen += [r.number for r in done if r.origin == origin and r.number not in chosen]
    return chosen


def tolerance(within: str) -> Tolerance:
    """Return the rule that a ``--within`` names: ``0``, ``1se``, ``2se``, ``0.5pt`` …

    A point (``pt``) is 0.01 of the metric.

    Raises:
        ConfigError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(se|pt)|0", within.strip())
    if match is None:
        raise ConfigError(f"--within {within!r}; allowed: 0, 1se, 2se, 0.5pt or the like")
    amount, unit = float(match[1] or 0), match[2]
    return lambda error: amount * error if unit == "se" else amount / 100


def choose(
    candidates: Sequence[Finalist],
    resampled: Resampled,
    *,
    rows: int,
    higher_is_better: bool,
    within: str = "1se",
    floor: float | None = None,
    percent: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Choice:
    """Choose the fewest trained parameters among those that are not measurably worse than the best.

    A candidate is admissible if it is within the tolerance of the best *and* of the default, better
    than the head alone (unless it is the head) and better than `floor`. Ties go to the smaller
    artifact, the lower latency, the fingerprint. If nothing is admissible it is the best.

    Args:
        candidates: the finalists.
        resampled: from predictions (N,) and weights (B, N), the metric on each resample (B,).
        rows: N, rows of the selection split.
        higher_is_better: the metric's direction.
        within: how far below the best is allowed, see `tolerance`.
        floor: score of a model that learnt nothing (the majority class).
        percent: whether the reason prints scores as percentages.
        seed: of the resampling.
        resamples: B.

    Raises:
        NoCandidateError: no eligible finalist has a score.
    """
    allowed = tolerance(within)
    measured = [c for c in candidates if usable(c.replicates)]
    if not any(c.eligible for c in measured):
        raise NoCandidateError("no finalist has a score: every training of them failed")
    drawn = bootstrap(
        [usable(c.replicates) for c in measured],
        resampled,
        rows=rows,
        seed=seed,
        resamples=resamples,
    )
    gains = drawn if higher_is_better else -drawn
    table = _table(measured, gains, higher_is_better, allowed, floor)
    chosen = min((row for row in table if row.admissible), key=_price)
    return Choice(
        number=chosen.finalist.number,
        seed=chosen.seed,
        table=table,
        reason=reason(chosen, table, within=within, percent=percent),
    )


def _table(
    measured: Sequence[Finalist],
    gains: np.ndarray,
    higher_is_better: bool,
    allowed: Tolerance,
    floor: float | None,
) -> tuple[Row, ...]:
    scores = [[r.score for r in usable(c.replicates)] for c in measured]
    means = [gain(statistics.fmean(of_seeds), higher_is_better) for of_seeds in scores]
    ranking = sorted(range(len(measured)), key=lambda i: (-means[i], *_order(measured[i])))
    best = next(i for i in ranking if measured[i].eligible)
    shares = best_shares(gains)

    def near(reference: int, other: int) -> bool:
        behind = means[reference] - means[other]
        return behind <= allowed(standard_error(gains[reference], gains[other])) + _ROUNDING

    def admissible(i: int) -> bool:
        if i == best:
            return True
        references = [j for j, c in enumerate(measured) if c.origin == "default"]
        heads = [means[j] for j, c in enumerate(measured) if c.origin == "head" and j != i]
        learnt = [*heads, *([] if floor is None else [gain(floor, higher_is_better)])]
        return (
            measured[i].eligible
            and all(means[i] > level for level in learnt)
            and all(near(j, i) for j in (best, *references))
        )

    return tuple(
        Row(
            finalist=measured[i],
            mean=statistics.fmean(scores[i]),
            spread=statistics.stdev(scores[i]) if len(scores[i]) > 1 else None,
            behind=means[best] - means[i],
            standard_error=standard_error(gains[best], gains[i]),
            best_share=float(shares[i]),
            admissible=admissible(i),
            seed=_median(measured[i], higher_is_better).seed,
        )
        for i in ranking
    )


def _price(row: Row) -> tuple[float, float, float, str]:
    return _order(row.finalist)


def _order(finalist: Finalist) -> tuple[float, float, float, str]:
    size_bytes, latency = finalist.artifact_bytes, finalist.latency_seconds
    return (
        finalist.trainable_params,
        float("inf") if size_bytes is None else size_bytes,
        float("inf") if latency is None else latency,
        finalist.fingerprint,
    )


def _median(finalist: Finalist, higher_is_better: bool) -> Replicate:
    ordered = sorted(
        usable(finalist.replicates), key=lambda r: (gain(r.score, higher_is_better), r.seed)
    )
    return ordered[(len(ordered) - 1) // 2]
