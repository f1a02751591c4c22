"""Learning curves: how likely a training that is under way ends above a score.

The distance d to the best score falls as a power of the share of the training that is done, and its
logarithm wanders on the way: from a share r on,

    ln d(1) = ln d(r) + b·ln r + σ·√(−ln r)·ε,  ε ~ N(0, 1).

What is known of b and σ² is a normal-inverse-gamma distribution: at first `EXPONENT` and `NOISE`,
with a weight of `TRIALS` trials; then every stretch from rung to rung that was seen adds to it,
also those of trials that were stopped later. So the logarithm of the last distance has a t
distribution.

Paper: Domhan et al. (2015) for stopping by the predicted end of a curve; the power law after
Hestness et al. (2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

from scipy import stats

from autopeft.records import REFERENCES, RungPoint, TrialRecord, TrialState
from autopeft.search.compare import goes_on
from autopeft.search.front import gain

EXPONENT, NOISE = 0.6, 0.38
"""b and σ over 135 trainings of subj and tweet_emotion on MiniLM (`results/cells/minilm-l6`): about
the same for both, and for a share of 0.2, 0.4 and 0.6."""

TRIALS = 4
_STRETCH = math.log(9)  # of a trial, from the first rung to the end

SOFT = 0.1
"""Distances count from so far above the best, as a share of its distance to the head alone: a
measured best is partly luck, and may be surpassed."""


class Stretch(NamedTuple):
    """A part of a training that was seen.

    Attributes:
        begin: share of the training done, above 0.
        end: share done at the end, at most 1.
        before: distance at the begin.
        after: distance at the end.
    """

    begin: float
    end: float
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What is known of the curves of a search.

    Args:
        exponent: mean of b.
        weight: how sure that is, as a length of stretches in ln share.
        noise: σ.
        freedom: how sure that is, in trials.
    """

    exponent: float = EXPONENT
    weight: float = TRIALS * _STRETCH
    noise: float = NOISE
    freedom: float = TRIALS

    def seen(self, stretches: Iterable[Stretch]) -> Self:
        """Return what is known after some stretches more."""
        lengths, falls = [], []
        for one in stretches:
            lengths.append(math.log(one.end / one.begin))
            falls.append(math.log(one.before / one.after))
        weight = self.weight + sum(lengths)
        exponent = (self.weight * self.exponent + sum(falls)) / weight
        squares = (
            self.freedom * self.noise**2
            + self.weight * self.exponent**2
            + sum(fall**2 / length for fall, length in zip(falls, lengths, strict=True))
            - weight * exponent**2
        )
        freedom = self.freedom + len(lengths)
        noise = math.sqrt(max(squares, 0.0) / freedom)
        return type(self)(exponent=exponent, weight=weight, noise=noise, freedom=freedom)

    def chance(self, share: float, distance: float, wanted: float) -> float:
        """Return how likely the distance at the end is below `wanted`.

        Args:
            share: of the training that is done, in (0, 1].
            distance: now.
            wanted: above 0.
        """
        length = -math.log(share)
        middle = math.log(distance) - self.exponent * length
        spread = self.noise * math.sqrt(length + length**2 / self.weight)
        above = math.log(wanted) - middle
        if spread == 0.0:
            return float(above > 0)
        return float(stats.t.cdf(above / spread, self.freedom))


def distances(gains: Sequence[float], *, best: float, height: float) -> list[float]:
    """Return how far gains are below the best, softened by `SOFT` of the height; all above 0.

    >>> [round(d, 2) for d in distances([0.7, 0.9, 0.95], best=0.9, height=0.2)]
    [0.22, 0.02, 0.02]
    """
    soft = SOFT * height
    return [max(best - gain, 0.0) + soft for gain in gains]


LEAST_CHANCE = 0.1
"""A training that is less likely to end on the front is stopped."""


def likely(
    number: int, point: RungPoint, records: Sequence[TrialRecord], higher_is_better: bool
) -> bool:
    """Return whether a trial may still end above everything that is as small.

    Until the head alone and something better are known, `autopeft.search.compare.goes_on` decides.
    """
    gains = {
        record.number: gain(record.score, higher_is_better)
        for record in records
        if record.state is TrialState.COMPLETE
    }
    newcomer = next(record for record in records if record.number == number)
    heads = [gains[r.number] for r in records if r.origin == "head" and r.number in gains]
    best = max(gains.values(), default=-math.inf)
    if newcomer.origin in REFERENCES or not heads or not best > heads[0]:
        return goes_on(number, point, records, higher_is_better)
    rivals = [
        gains[record.number]
        for record in records
        if record.number in gains
        and record.costs.trainable_params <= newcomer.costs.trainable_params
    ]
    height = best - heads[0]
    now = gain(point.score, higher_is_better)
    if now == -math.inf:
        return False
    distance, wanted = distances([now, max(rivals)], best=best, height=height)
    known = Curves().seen(_stretches(records, higher_is_better, best=best, height=height))
    return known.chance(point.share, distance, wanted) >= LEAST_CHANCE


def both(
    number: int, point: RungPoint, records: Sequence[TrialRecord], higher_is_better: bool
) -> bool:
    """Return whether a trial goes on by its rank among the others and by its own curve."""
    return goes_on(number, point, records, higher_is_better) and likely(
        number, point, records, higher_is_better
    )


def _stretches(
    records: Sequence[TrialRecord], higher_is_better: bool, *, best: float, height: float
) -> Iterator[Stretch]:
    """Yield what was seen of every curve, from each rung to the next and to the end."""
    for record in records:
        if record.origin == "head" or record.state is TrialState.FAILED:
            continue
        points = [(point.share, point.score) for point in record.curve if point.share < 1]
        if record.state is TrialState.COMPLETE and record.score is not None:
            points.append((1.0, record.score))
        far = distances(
            [gain(score, higher_is_better) for _, score in points], best=best, height=height
        )
        seen = [(share, d) for (share, _), d in zip(points, far, strict=True) if math.isfinite(d)]
        for (begin, before), (end, after) in pairwise(seen):
            yield Stretch(begin, end, before, after)
