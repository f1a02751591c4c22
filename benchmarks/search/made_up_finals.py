"""Made-up finalists: true scores are known, rows and seeds are drawn.

A training is right on a row where the sum of how good its candidate is, what its seed adds, how
easy the row is, and what candidate and training each make of just this row, is above 0. So
trainings agree on easy and hard rows, as real ones do: with these shares two seeds of a candidate
differ on a tenth of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from autopeft.search.bootstrap import Replicate
from autopeft.search.finalist import Finalist

ROW, CANDIDATE, TRAINING = 0.80, 0.08, 0.12
"""Shares of the variance over rows: of the row, of the candidate on it, of one training on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A search whose candidates were all trained under one seed, and can be under more.

    Args:
        sizes: (n,) log10 of the trained parameters.
        true: (n,) accuracy of each candidate on endless rows, over its seeds.
        right: (n, S, N) whether training s of a candidate is right on a selection row.
        seen: (S, N) the rows of the fold that training s is measured on; None where all are
            measured on all rows, as `Replicate.seen` is then.
        of_seeds: (n, S) accuracy of each training on endless rows.
    """

    sizes: np.ndarray
    true: np.ndarray
    right: np.ndarray
    seen: np.ndarray | None
    of_seeds: np.ndarray

    def first_scores(self) -> np.ndarray:
        """Return (n,) the scores of the first seed on the selection split."""
        first = slice(None) if self.seen is None else self.seen[0]
        return np.asarray(self.right[:, 0, first].mean(axis=1))

    def finalists(self, k: int) -> np.ndarray:
        """Return the k candidates of the best first scores, the best first."""
        return np.argsort(-self.first_scores(), kind="stable")[:k]

    def finalist(self, index: int, seeds: int) -> Finalist:
        """Return a candidate with its first seeds; its number is its index."""
        return Finalist(
            number=int(index),
            label=f"method-{index}",
            origin="tpe",
            trainable_params=round(10 ** self.sizes[index]),
            fingerprint=f"{index:012d}",
            replicates=tuple(self._replicate(index, seed) for seed in range(seeds)),
        )

    def _replicate(self, index: int, seed: int) -> Replicate:
        right = self.right[index, seed]
        seen = None if self.seen is None else self.seen[seed]
        score = float(right.mean() if seen is None else right[seen].mean())
        return Replicate(seed=seed, score=score, predictions=right, seen=seen)


def accuracy(predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted accuracy (B,); predictions are 1 where they are right."""
    return np.asarray(weights @ predictions / weights.sum(axis=1))


def world(
    generator: np.random.Generator,
    *,
    tried: int,
    rows: int,
    seeds: int = 5,
    seed_spread: float = 0.03,
    crowded: bool = False,
    folds: bool = False,
) -> World:
    """Return a made-up search.

    Args:
        generator: of everything drawn.
        tried: n, candidates.
        rows: N, of the selection split.
        seeds: S, trainings of each.
        seed_spread: of how good a training is about its candidate; 0.03 is about 0.7 points.
        folds: whether each seed has selection rows of its own, N each.
        crowded: whether many candidates are about as good as the best, the others far behind.
    """
    sizes = generator.uniform(2.5, 6.0, tried)
    good = (
        1.0 - generator.exponential(0.15, tried)
        if crowded
        else 0.8 + 0.12 * generator.standard_normal(tried)
    )
    good = good + 0.05 * (sizes - sizes.mean())
    of_seeds = good[:, None] + seed_spread * generator.standard_normal((tried, seeds))
    seen = np.repeat(np.eye(seeds, dtype=np.bool_), rows, axis=1) if folds else None
    rows = seeds * rows if folds else rows
    of_rows = ROW**0.5 * generator.standard_normal(rows)
    own = CANDIDATE**0.5 * generator.standard_normal((tried, 1, rows))
    noise = TRAINING**0.5 * generator.standard_normal((tried, seeds, rows))
    normal = np.vectorize(NormalDist().cdf)
    return World(
        sizes=sizes,
        true=normal(good / np.sqrt(1 + seed_spread**2)),
        right=(of_seeds[:, :, None] + of_rows + own + noise > 0).astype(np.float64),
        seen=seen,
        of_seeds=normal(of_seeds),
    )
