"""Ranks over tasks, how sure they are, and which differences a test tells apart.

Papers: Demšar (2006), Statistical comparisons of classifiers over multiple data sets, for the
Friedman and Nemenyi tests; Efron (1979) for the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.05

Gains = Sequence[Sequence[Sequence[float]]]
"""By task and row, one gain per seed: more is better, −inf is a row that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over tasks of each of R rows, with the bounds of 95 % of the resamples.

    Args:
        ranks: (R,), 1 for the best.
        rank_bounds: (2, R).
        normalised: (R,).
        normalised_bounds: (2, R).
    """

    ranks: np.ndarray
    rank_bounds: np.ndarray
    normalised: np.ndarray
    normalised_bounds: np.ndarray


def ranks_of(gains: np.ndarray) -> np.ndarray:
    """Return the ranks (…, R) of gains (…, R), 1 for the highest; equals share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-gains, axis=-1))


def normalised(gains: np.ndarray, floor: float, best: float) -> np.ndarray:
    """Return gains between 0 at `floor` and 1 at `best`; what failed or learnt nothing has 0."""
    if best <= floor:
        return np.where(np.isfinite(gains) & (gains >= best), 1.0, 0.0)
    return np.where(np.isfinite(gains), (gains - floor) / (best - floor), 0.0)


def summary(
    gains: Gains, floors: Sequence[float], bests: Sequence[float], *, seed: int = 0
) -> Summary:
    """Return mean ranks and mean normalised scores over tasks, with bootstrap bounds.

    Every resample draws as many tasks as there are, with replacement, and on each of them as many
    seeds of each row as it has. What is best on a task, for normalising, stays that of the whole.

    Args:
        gains: of T tasks and R rows.
        floors: by task, the gain of a model that learnt nothing.
        bests: by task, the gain of the best row, which need not be one of these.
        seed: of the resampling.
    """
    generator = np.random.default_rng(seed)
    means = np.array([[np.mean(seeds) for seeds in rows] for rows in gains])
    drawn = np.stack(
        [
            np.stack([_resampled(np.asarray(seeds, float), generator) for seeds in rows], axis=-1)
            for rows in gains
        ],
        axis=1,
    )  # (B, T, R)
    shares = np.stack(
        [normalised(drawn[:, t], floors[t], bests[t]) for t in range(len(gains))], axis=1
    )
    tasks = generator.integers(0, len(gains), (RESAMPLES, len(gains)))[:, :, None]
    rank_means = np.take_along_axis(ranks_of(drawn), tasks, axis=1).mean(axis=1)
    share_means = np.take_along_axis(shares, tasks, axis=1).mean(axis=1)
    whole = np.stack([normalised(m, f, b) for m, f, b in zip(means, floors, bests, strict=True)])
    bounds = [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)]
    return Summary(
        ranks=ranks_of(means).mean(axis=0),
        rank_bounds=np.percentile(rank_means, bounds, axis=0),
        normalised=whole.mean(axis=0),
        normalised_bounds=np.percentile(share_means, bounds, axis=0),
    )


def _resampled(scores: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the mean (B,) of scores drawn again."""
    return np.asarray(scores[generator.integers(0, len(scores), (RESAMPLES, len(scores)))].mean(1))


def friedman(ranks: np.ndarray) -> tuple[float, float] | None:
    """Return the statistic and the p-value that all rows are alike, from ranks (T, R).

    None for fewer than three rows or two tasks, or where every rank is equal.
    """
    from scipy.stats import friedmanchisquare

    if min(ranks.shape[0] - 1, ranks.shape[1] - 2) < 1 or np.ptp(ranks) == 0:
        return None
    statistic, p_value = friedmanchisquare(*ranks.T)
    return float(statistic), float(p_value)


def critical_difference(tasks: int, rows: int) -> float:
    """Return how far mean ranks must lie apart for Nemenyi's test to tell two rows apart.

    q √(R (R + 1) / 6 T), with q of the studentised range at 5 % over √2.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, rows, math.inf)) / math.sqrt(2)
    return q * math.sqrt(rows * (rows + 1) / (6 * tasks))
