"""What the delivered model is expected to score on new data."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from autopeft.search.bootstrap import Evidence, usable
from autopeft.search.finalist import Expected, Finalist, Row
from autopeft.search.front import Point, gain
from autopeft.search.optimism import luck, optimism


def expected(
    chosen: Row,
    measured: Sequence[Finalist],
    evidence: Evidence,
    tried: Sequence[Point],
    higher_is_better: bool,
    seed: int,
) -> Expected:
    """Return the score of the delivered training on new data, the winner's curse taken off.

    It was the best of its candidate's seeds. Of how far it is ahead of their mean, as much is real
    as seeds have a part in how scores vary between them; the rest is luck on the selection rows.

    Args:
        chosen: the row of what is delivered.
        measured: the finalists.
        evidence: of their true scores, higher is better.
        tried: first scores and sizes of all trials that the finalists were picked from.
        higher_is_better: the metric's direction.
        seed: of the resampling.
    """
    index = next(i for i, c in enumerate(measured) if c is chosen.finalist)
    rivals = [i for i, c in enumerate(measured) if c.origin != "head"]
    seeds = [len(usable(measured[i].replicates)) for i in rivals]
    training = evidence.seed_variances + evidence.row_variances
    lucky = optimism(
        tried,
        luck(evidence.draws[rivals], training[rivals], seeds),
        finalists=len(rivals),
        seeds=round(statistics.fmean(seeds)) if seeds else 1,
        margin=chosen.margin,
        seed=seed,
    )
    lead = gain(chosen.score, higher_is_better) - gain(chosen.mean, higher_is_better)
    by_seed, by_rows = evidence.seed_variances[index], evidence.row_variances[index]
    share = by_seed / (by_seed + by_rows) if lead and by_seed else 0.0
    noise = np.random.default_rng([seed, 3]).standard_normal(evidence.draws.shape[1])
    ahead, rest = share * lead, np.sqrt((1 - share) * by_seed)
    single = evidence.draws[index] + ahead + rest * noise - lucky
    low, high = np.nanquantile(single, [0.025, 0.975])
    sign = 1.0 if higher_is_better else -1.0
    ends = sorted([sign * float(low), sign * float(high)])
    return Expected(
        score=chosen.mean + sign * (ahead - lucky),
        low=ends[0],
        high=ends[1],
        optimism=lucky + lead - ahead,
        tried=len(tried),
    )
