"""How sure the scores of finalists are: selection rows drawn again, and what seeds add.

The score of a finalist, averaged over its seeds on the selection split, is uncertain for two
reasons: other rows would have given another mean, and other seeds too. Rows are drawn again with
replacement, the same for all. Seeds are too few to be drawn: with three of them the spread of their
resampled mean is a third too small, while rows and seeds drawn together count what a seed gets
right on just these rows more than once (Owen, 2007, The Pigeonhole Bootstrap). So the variance of a
training's true score is estimated, what the rows explain of it taken off, and added as noise. It is
pooled over the finalists, each keeping as much of its own as it has seeds, as Smyth (2004)
moderates variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_CHUNK = 4_000_000  # numbers of weights at a time: 32 MB
_POOLED_FREEDOM = 4.0
"""So many degrees of freedom the pooled variance counts beside a finalist's own."""

Resampled = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One training of a finalist.

    Args:
        seed: it was trained with.
        score: the metric on the selection split.
        predictions: (N,) on the selection rows, in their order.
        seen: (N,) whether it was measured on a row; None for all. A training on another fold was
            measured on other rows.
    """

    seed: int
    score: float
    predictions: np.ndarray
    seen: np.ndarray | None = None

    def resampled(self, metric: Resampled, weights: np.ndarray) -> np.ndarray:
        """Return the metric of each resample (B,) of the rows that it was measured on."""
        if self.seen is None:
            return metric(self.predictions, weights)
        own = weights * self.seen
        own[own.sum(axis=1) == 0] = self.seen  # none of a few rows was drawn
        return metric(self.predictions, own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the replicates of k finalists say of their true scores.

    Args:
        draws: (k, B) of each one's true mean over seeds, rows shared between finalists.
        seed_variances: (k,) of the true score of a single training.
        row_variances: (k,) of what a single training gets right on just these rows, beside what
            every training of its finalist does.
    """

    draws: np.ndarray
    seed_variances: np.ndarray
    row_variances: np.ndarray


def usable(replicates: Sequence[Replicate]) -> tuple[Replicate, ...]:
    """Return the replicates that have a finite score."""
    return tuple(r for r in replicates if math.isfinite(r.score))


def on_folds(replicates: Sequence[Replicate]) -> bool:
    """Return whether replicates were measured on rows of their own."""
    return any(r.seen is not None for r in replicates)


def bootstrap(
    replicates: Sequence[Sequence[Replicate]],
    resampled: Resampled,
    *,
    rows: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Return what is known of the true score of each finalist.

    Args:
        replicates: of each finalist, at least one.
        resampled: from predictions (N,) and weights (B, N), the metric of each resample (B,).
        rows: N.
        seed: of the resampling.
        resamples: B.
    """
    parts = [
        [[r.resampled(resampled, weights) for r in group] for group in replicates]
        for weights in _weights(rows, resamples, seed)
    ]
    scores = [
        np.stack([np.concatenate([part[index][s] for part in parts]) for s in range(len(group))])
        for index, group in enumerate(replicates)
    ]
    observed = [np.array([r.score for r in group]) for group in replicates]
    own, resampled_own = observed, scores
    if any(on_folds(group) for group in replicates):
        own, resampled_own = _own(observed), _own(scores)
    between = np.array([_variance(of) for of in own])
    by_rows = np.array([_of_rows(of) for of in resampled_own])
    freedom = np.array([len(group) - 1 for group in replicates])
    by_seeds = moderated(between - by_rows, freedom)
    noise = np.stack(
        [
            np.random.default_rng([seed, 1, index]).standard_normal(resamples)
            for index in range(len(replicates))
        ]
    )
    spread = np.sqrt(by_seeds / (freedom + 1))
    return Evidence(
        draws=np.stack([of.mean(axis=0) for of in scores]) + spread[:, None] * noise,
        seed_variances=by_seeds,
        row_variances=by_rows,
    )


def moderated(variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Return variances (k,) drawn towards their pooled value, none below 0.

    Args:
        variances: estimates, which may be negative where something was taken off.
        freedom: (k,) degrees of freedom of each; where it is 0 the estimate is the pooled one.
    """
    if not freedom.sum():
        return np.zeros(len(variances))
    pooled = float(freedom @ variances / freedom.sum())
    own = (_POOLED_FREEDOM * pooled + freedom * variances) / (_POOLED_FREEDOM + freedom)
    return np.asarray(np.maximum(own, 0.0))


def standard_error(ahead: np.ndarray, behind: np.ndarray) -> float:
    """Return the standard deviation of the difference over the draws where both exist."""
    difference = ahead - behind
    difference = difference[np.isfinite(difference)]
    return float(difference.std(ddof=1)) if len(difference) > 1 else 0.0


def best_shares(gains: np.ndarray) -> np.ndarray:
    """Return, for gains (k, B), the share of draws in which each is the best; ties are split."""
    filled = np.where(np.isfinite(gains), gains, -np.inf)
    winners = (filled == filled.max(axis=0)) & np.isfinite(filled)
    counts = winners.sum(axis=0)
    decided = counts > 0
    if not decided.any():
        return np.zeros(len(gains))
    return np.asarray((winners[:, decided] / counts[decided]).mean(axis=1))


def tied_shares(gains: np.ndarray, margins: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Return the share of draws in which each is the best, or no rival is ahead by its margin.

    Args:
        gains: (k, B), higher is better.
        margins: (k,), how far each may be behind.
        rivals: (k,) whether each is one that could have been taken in its place.
    """
    filled = np.where(np.isfinite(gains), gains, -np.inf)
    best = filled[rivals].max(axis=0)
    return np.asarray((filled >= best - margins[:, None]).mean(axis=1))


def _own(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return scores (S, …) of k finalists without what all have in common under each seed.

    Every seed has rows of its own here, and that these are easy or hard is nobody's luck.
    """
    count = len(scores)
    if count < 2 or len({len(of) for of in scores}) > 1:
        return list(scores)
    apart = np.stack(scores) - np.mean(scores, axis=0)
    return list(apart * math.sqrt(count / (count - 1)))


def _variance(scores: np.ndarray) -> float:
    return float(np.var(scores, ddof=1)) if len(scores) > 1 else 0.0


def _of_rows(scores: np.ndarray) -> float:
    """Return, of scores (S, B), what the rows make of the variance between S seeds."""
    count = len(scores)
    if count < 2:
        return 0.0
    apart = scores - scores.mean(axis=0)
    return float(apart.var(axis=1, ddof=1).mean() * count / (count - 1))


def _weights(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row was drawn, (b, N), a few resamples at a time."""
    generator = np.random.default_rng([seed, 0])
    chances = np.full(rows, 1.0 / rows)
    step = max(1, _CHUNK // rows)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield generator.multinomial(rows, chances, size=size)
