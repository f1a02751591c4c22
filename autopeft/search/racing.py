"""Which finalists get a further seed: those that may still change the choice.

Paper: Maron and Moore (1994), Hoeffding Races, and Birattari et al. (2002), F-Race, for racing;
here what is raced for is the whole choice, not the best score alone.

Further seeds cannot tell what other rows would have said: the choice is made on these. So futures
are drawn in which only the seeds go on: every finalist's mean over endless seeds on these rows,
given the seeds it has. The rule is applied to each future. A finalist that is chosen in hardly any,
and hardly ever the best, which the others are measured by, has had its seeds; and where nearly all
futures choose the same one, the race is over.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from autopeft.search.bootstrap import Resampled, bootstrap, moderated, standard_error, usable
from autopeft.search.finalist import Finalist
from autopeft.search.front import gain
from autopeft.search.standing import Tolerance, order

FUTURES = 2000

HARDLY = 0.05
"""What happens in a smaller share of futures is left aside."""

_RESAMPLES = 500


def undecided(
    candidates: Sequence[Finalist],
    resampled: Resampled,
    *,
    rows: int,
    higher_is_better: bool,
    allowed: Tolerance,
    seed: int = 0,
) -> list[int]:
    """Return the numbers of the finalists that need a further seed, the likeliest choice first.

    Args:
        candidates: the finalists, each with a usable replicate; without the head alone.
        resampled: from predictions (N,) and weights (B, N), the metric on each resample (B,).
        rows: N, rows of the selection split.
        higher_is_better: the metric's direction.
        allowed: how far below the best the choice may be.
        seed: of the resampling and of the futures.

    Returns:
        None of them where the choice is as good as made.
    """
    if sum(c.eligible for c in candidates) < 2:
        return []
    groups = [usable(c.replicates) for c in candidates]
    evidence = bootstrap(groups, resampled, rows=rows, seed=seed, resamples=_RESAMPLES)
    margins = np.array(
        [[allowed(standard_error(a, b)) for b in evidence.draws] for a in evidence.draws]
    )
    scores = [[gain(r.score, higher_is_better) for r in group] for group in groups]
    worlds = futures(scores, seed=seed)
    chosen = _chosen(candidates, worlds, margins)
    eligible = np.array([c.eligible for c in candidates])
    best = np.where(eligible[:, None], worlds, -np.inf).argmax(axis=0)
    picked, ahead = (
        np.bincount(which, minlength=len(candidates)) / FUTURES for which in (chosen, best)
    )
    if picked.max() > 1 - HARDLY:
        return []
    open_ = [i for i in range(len(candidates)) if max(picked[i], ahead[i]) >= HARDLY]
    return [candidates[i].number for i in sorted(open_, key=lambda i: -picked[i])]


def futures(scores: Sequence[Sequence[float]], *, seed: int, count: int = FUTURES) -> np.ndarray:
    """Return means over endless seeds on the same rows (k, count), given some seeds of each.

    Args:
        scores: of the seeds of each of k finalists.
        seed: of the draws.
        count: how many.
    """
    freedom = np.array([len(of) - 1 for of in scores])
    between = np.array([statistics.variance(of) if len(of) > 1 else 0.0 for of in scores])
    spread = np.sqrt(moderated(between, freedom) / (freedom + 1))
    noise = np.random.default_rng([seed, 4]).standard_normal((len(scores), count))
    return np.asarray(
        np.array([statistics.fmean(of) for of in scores])[:, None] + spread[:, None] * noise
    )


def _chosen(candidates: Sequence[Finalist], worlds: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Return which finalist the rule chooses in each future (F,): its place among them."""
    eligible = np.array([c.eligible for c in candidates])
    best = np.where(eligible[:, None], worlds, -np.inf).argmax(axis=0)
    near = worlds.max(axis=0, where=eligible[:, None], initial=-np.inf) - worlds <= margins[best].T
    for place, candidate in enumerate(candidates):
        if candidate.origin == "default":
            near &= worlds[place] - worlds <= margins[place][:, None]
    near[~eligible] = False
    near[best, np.arange(worlds.shape[1])] = True
    prices = sorted(range(len(candidates)), key=lambda i: order(candidates[i]))
    rank = np.empty(len(candidates))
    rank[prices] = np.arange(len(candidates))
    return np.asarray(np.where(near, rank[:, None], np.inf).argmin(axis=0))
