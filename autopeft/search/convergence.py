"""Whether going on is worth it: what further trials are expected to add to the front.

If the next trials are like the late ones, there are two ways to see what the next one adds on
average. One is what each late trial adds alone: the area under the front that would be missing
without it, since any of them might as well have come last. That is the reasoning of Good (1953),
The Population Frequencies of Species, with areas for species. The other is what each added when it
came, which sees that a search still learns. The rate of that falls with the number of trials, as
that of records does in any exchangeable series (Rényi, 1962), so it is scaled to the present. What
is foreseen is the mean of the two, and its upper bound the larger of theirs: how often trials add
anything has a Beta posterior, and how much a Gamma one.

An area over the range of sizes is a height: by how much the front rises, averaged over all sizes.
So everything is told in units of the metric. Scores are taken as they were measured; a part of each
rise is luck, before and after alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autopeft.records import TrialRecord, TrialState
from autopeft.search.front import Point, area, gain, pareto, size

COHORT = 8
"""Trials between two looks at what was learnt: enough for a pack, few enough to learn from. What so
many more will add is foreseen."""

LEAST_TRIALS = 16
"""Before so many trials nothing is foreseen."""

ENOUGH = 0.01
"""A rise of this share of what the search gained over the head alone is not worth a cohort."""

BEYOND = 1.0
"""So far beyond the largest size the front goes on: else the largest candidate adds nothing."""

_CONFIDENCE = 0.95
_DRAWS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What further trials are expected to add.

    Args:
        trials: so far, the head alone apart.
        rise: of the front by the next trial, in units of the metric.
        most: the upper bound of `rise`, which holds in 95 of 100 cases.
        height: how far the best score is above the head alone.
    """

    trials: int
    rise: float
    most: float
    height: float

    def after(self, further: int) -> tuple[float, float]:
        """Return the expected rise by so many further trials, and its upper bound."""
        count = self.trials * math.log1p(further / self.trials)
        return count * self.rise, count * self.most

    @property
    def converged(self) -> bool:
        """Whether the next cohort will hardly add anything."""
        return self.after(COHORT)[1] < ENOUGH * self.height


def outlook(records: Sequence[TrialRecord], *, higher_is_better: bool) -> Outlook | None:
    """Return what further trials are expected to add; None while that cannot be said.

    A trial that was stopped or failed counts as one that added nothing. Only the later half of the
    trials, and at least `LEAST_TRIALS` of them, stand for the next ones, because the search learns.

    Args:
        records: of the trials so far.
        higher_is_better: the metric's direction.
    """
    over = [r for r in records if r.state is not TrialState.RUNNING]
    floors = [gain(r.score, higher_is_better) for r in over if r.origin == "head"]
    tried = [r for r in over if r.origin != "head"]
    points = {
        r.number: Point(gain=gain(r.score, higher_is_better), size=size(r.costs.trainable_params))
        for r in tried
        if r.state is TrialState.COMPLETE and r.score is not None
    }
    if len(tried) < LEAST_TRIALS or not points or not floors:
        return None
    floor, widest = floors[0], max(point.size for point in points.values()) + BEYOND
    height = max(point.gain for point in points.values()) - floor
    if not (height > 0 and math.isfinite(height)):
        return None
    late = tried[-max(LEAST_TRIALS, len(tried) // 2) :]
    alone = _alone(points, floor, widest)
    came = _came([r.number for r in tried], len(late), points, floor, widest)
    usual = [added for added in alone.values() if added > 0]
    views = [
        _estimate([alone.get(r.number, 0.0) for r in late], usual),
        _estimate([_now(len(tried), len(late)) * added for added in came], usual),
    ]
    rise, most = sum(mean for mean, _ in views) / 2, max(bound for _, bound in views)
    return Outlook(trials=len(tried), rise=rise / widest, most=most / widest, height=height)


def _alone(points: dict[int, Point], floor: float, widest: float) -> dict[int, float]:
    """Return the area that would be missing without each trial."""
    everything = list(points.values())
    whole = area(everything, floor=floor, most=widest)
    members = set(pareto(everything))
    return {
        number: whole - area(everything[:i] + everything[i + 1 :], floor=floor, most=widest)
        if i in members
        else 0.0
        for i, number in enumerate(points)
    }


def _came(
    numbers: Sequence[int], late: int, points: dict[int, Point], floor: float, widest: float
) -> list[float]:
    """Return the area that each of the late trials added when it came."""
    front: list[Point] = []
    areas = [0.0]
    for number in numbers:
        if number in points:
            members = list(dict.fromkeys([*front, points[number]]))
            front = [members[i] for i in pareto(members)]
        areas.append(area(front, floor=floor, most=widest))
    return [after - before for before, after in itertools.pairwise(areas[-late - 1 :])]


def _now(count: int, late: int) -> float:
    """Return how the rate of records now compares with its mean over the late trials."""
    before = max(count - late, 1)
    return (count - before) / (count * math.log(count / before)) if count > before else 1.0


def _estimate(late: Sequence[float], usual: Sequence[float]) -> tuple[float, float]:
    """Return mean and upper bound of what a trial adds.

    Args:
        late: what each of the late trials adds.
        usual: what trials add that add something; stands in where none of the late ones does.
    """
    amounts = [added for added in late if added > 0]
    often, count = len(amounts), len(late)
    amounts = amounts or list(usual)
    if not amounts:
        return 0.0, 0.0
    draw = np.random.default_rng(0)
    chance = draw.beta(often + 0.5, count - often + 0.5, _DRAWS)
    amount = sum(amounts) / draw.gamma(len(amounts) + 1.0, 1.0, _DRAWS)
    mean = (often + 0.5) / (count + 1.0) * sum(amounts) / len(amounts)
    return mean, float(np.quantile(chance * amount, _CONFIDENCE))
