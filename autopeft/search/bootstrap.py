"""How sure the scores of finalists are: bootstrap over selection rows and over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_CHUNK = 4_000_000  # numbers of weights at a time: 32 MB

Resampled = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One training of a finalist.

    Args:
        seed: it was trained with.
        score: the metric on the selection split.
        predictions: (N,) on the selection split, in the order of its rows.
    """

    seed: int
    score: float
    predictions: np.ndarray


def usable(replicates: Sequence[Replicate]) -> tuple[Replicate, ...]:
    """Return the replicates that have a finite score."""
    return tuple(r for r in replicates if math.isfinite(r.score))


def bootstrap(
    replicates: Sequence[Sequence[Replicate]],
    resampled: Resampled,
    *,
    rows: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Return the metric of each finalist on each resample: its mean over seeds drawn again.

    Every resample draws the rows once, the same for all finalists and seeds, and then for each
    finalist as many of its seeds as it has, with replacement.

    Args:
        replicates: of each finalist, at least one.
        resampled: from predictions (N,) and weights (B, N), the metric of each resample (B,).
        rows: N.
        seed: of the resampling.
        resamples: B.

    Returns:
        (finalists, B); NaN where the metric is not defined on a resample.
    """
    parts = [
        [[resampled(r.predictions, weights) for r in group] for group in replicates]
        for weights in _weights(rows, resamples, seed)
    ]
    result = np.empty((len(replicates), resamples))
    for index, group in enumerate(replicates):
        count = len(group)
        scores = np.stack(
            [np.concatenate([part[index][s] for part in parts]) for s in range(count)]
        )
        drawn = np.random.default_rng([seed, 1, index]).integers(0, count, (count, resamples))
        result[index] = np.take_along_axis(scores, drawn, axis=0).mean(axis=0)
    return result


def standard_error(ahead: np.ndarray, behind: np.ndarray) -> float:
    """Return the standard deviation of the difference over the resamples where both exist."""
    difference = ahead - behind
    difference = difference[np.isfinite(difference)]
    return float(difference.std(ddof=1)) if len(difference) > 1 else 0.0


def best_shares(gains: np.ndarray) -> np.ndarray:
    """Return, for gains (finalists, B), the share of resamples that each wins; ties are split."""
    filled = np.where(np.isfinite(gains), gains, -np.inf)
    winners = (filled == filled.max(axis=0)) & np.isfinite(filled)
    counts = winners.sum(axis=0)
    decided = counts > 0
    if not decided.any():
        return np.zeros(len(gains))
    return np.asarray((winners[:, decided] / counts[decided]).mean(axis=1))


def _weights(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row was drawn, (b, N), a few resamples at a time."""
    generator = np.random.default_rng([seed, 0])
    chances = np.full(rows, 1.0 / rows)
    step = max(1, _CHUNK // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield generator.multinomial(rows, chances, size=size)
