"""The winner's curse: how much the score of what was chosen owes to luck.

Of many candidates scored on the same selection split, the one that is picked is likelier to have
been lucky than unlucky, so its score there promises too much, and so do those of its further seeds,
which are scored on the same rows. How much is found by playing the whole selection again on made-up
candidates: true scores as spread as those of this search are after their noise is taken off, a
first score for each, finalists by first score, further seeds, the choice. The mean of score less
true score over the plays is the optimism. It is the parametric bootstrap of a selection, after
Efron (2014), Estimation and Accuracy after Model Selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autopeft.search.front import Point

PLAYS = 1000

_LEAST_TRIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Luck:
    """The variances of luck in a score on the selection split, what all share left out.

    Args:
        candidate: of what every training of a candidate gets right on just these rows.
        training: of what a single training adds, by its seed and on these rows.
    """

    candidate: float
    training: float

    @property
    def first(self) -> float:
        """The variance of the luck of a single training."""
        return self.candidate + self.training


def luck(draws: np.ndarray, training: np.ndarray, seeds: Sequence[int]) -> Luck:
    """Return how much of the scores is luck, from the paired differences of finalists.

    Args:
        draws: (k, B) of the finalists' true means, rows shared; k at least 1.
        training: (k,) variances of a single training about its finalist's mean on these rows.
        seeds: how many each finalist has.
    """
    pairs = [(i, j) for i in range(len(draws)) for j in range(i)]
    if not pairs:
        return Luck(candidate=0.0, training=0.0)
    of_means = float(np.mean([np.var(draws[i] - draws[j], ddof=1) for i, j in pairs])) / 2
    averaged = float(np.mean(training / np.asarray(seeds)))
    return Luck(candidate=max(0.0, of_means - averaged), training=float(np.mean(training)))


def optimism(
    tried: Sequence[Point],
    noise: Luck,
    *,
    finalists: int,
    seeds: int,
    margin: float,
    seed: int = 0,
    plays: int = PLAYS,
) -> float:
    """Return by how much the score of a choice is too good on average; 0 where too few were tried.

    Args:
        tried: first scores and sizes of all candidates that were trained to the end.
        noise: how much of a score is luck.
        finalists: how many of them were trained again.
        seeds: how many trainings each of these had.
        margin: how far below the best the choice may be: the smallest within it is taken.
        seed: of the plays.
        plays: how often the selection is played.
    """
    if len(tried) < _LEAST_TRIED or noise.first == 0:
        return 0.0
    generator = np.random.default_rng([seed, 2])
    scores, sizes = np.array([p.gain for p in tried]), np.array([p.size for p in tried])
    among = min(finalists, len(tried))
    true = _without(scores, noise.first)
    lucky = np.sqrt(noise.first) * generator.standard_normal((plays, len(tried)))
    chosen = np.argsort(-(true + lucky), axis=1, kind="stable")[:, :among]
    truth = true[chosen]
    means = truth + _averaged(np.take_along_axis(lucky, chosen, axis=1), noise, seeds, generator)
    near = means >= means.max(axis=1, keepdims=True) - margin
    pick = np.where(near, sizes[chosen], np.inf).argmin(axis=1)[:, None]
    return float(np.take_along_axis(means - truth, pick, axis=1).mean())


def _without(scores: np.ndarray, noise: float) -> np.ndarray:
    """Return scores drawn towards their mean so that they vary as true scores would."""
    spread = float(scores.var(ddof=1))
    share = max(0.0, 1.0 - noise / spread) if spread else 0.0
    return np.asarray(scores.mean() + np.sqrt(share) * (scores - scores.mean()))


def _averaged(
    first: np.ndarray, noise: Luck, seeds: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the luck of the mean over seeds, given that of the first training.

    A part of the first luck is the candidate's on these rows and comes again with every seed; the
    rest is that training's own and is averaged away.
    """
    share = noise.candidate / noise.first
    spread = np.sqrt(noise.candidate * (1 - share))
    lasting = share * first + spread * generator.standard_normal(first.shape)
    further = np.sqrt(noise.training * (seeds - 1)) * generator.standard_normal(first.shape)
    return np.asarray(lasting + (first - lasting + further) / seeds)
