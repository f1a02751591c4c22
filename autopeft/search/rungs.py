"""Who goes on at a rung: Pareto-aware successive halving, decided when each trial arrives.

Paper: MO-ASHA (Schmucker et al., 2021) for the idea of fronts at rungs; the rule here differs so
that four things hold, each of them a tested property:

- a newcomer that dominates everyone goes on;
- who does not beat the head alone stops, however small (slow starters are spared at the first
  rung: there they are compared within their family);
- a better score never turns "go on" into "stop": members of a front are told apart by the area that
  each alone adds (`front.contribution`), which grows with the score, not by crowding distance;
- what is protected goes on.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from autopeft.methods import MethodInfo
from autopeft.records import Candidate
from autopeft.search.front import Point, contribution, dominates, fronts

SHARES = (1 / 9, 1 / 3, 1.0)
"""Shares of the training steps at which trials are compared."""

LEAST_STEPS = 50
"""Optimizer steps before the first comparison: earlier, most candidates still score at chance."""

ETA = 3
"""One in this many goes on."""

FRONT_PLACES = 5
"""So many members of the first front go on however few trials there are: as many as finalists."""

SLOW_FAMILIES = ("prompt", "prefix", "full")
"""Families known for flat first epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A trial at a rung.

    Args:
        gain: its score there so that more is better; -inf if it is missing.
        size: ``log10(1 + trained parameters)``.
        family: of its method.
        slow: whether it is known to start slowly, see `slow_starter`.
    """

    gain: float
    size: float
    family: str
    slow: bool = False


def rungs_of(steps: int) -> tuple[float, ...]:
    """Return the shares of `SHARES` that are worth a comparison.

    Args:
        steps: optimizer steps of the shortest training in the space.
    """
    return tuple(share for share in SHARES if share == 1.0 or share * steps >= LEAST_STEPS)


def slow_starter(candidate: Candidate, info: MethodInfo) -> bool:
    """Return whether a candidate is known to start slowly.

    That is a family of `SLOW_FAMILIES`, or a learning rate below half of its method's prior median.
    """
    return info.family in SLOW_FAMILIES or candidate.learning_rate < info.learning_rate.median / 2


def decide(
    newcomer: Entry,
    others: Sequence[Entry],
    *,
    rung: int,
    head: float | None,
    hope: float = 0.0,
    protected: bool = False,
) -> bool:
    """Return whether the newcomer goes on.

    Args:
        newcomer: who arrives at the rung.
        others: who was there before, the head alone left out.
        rung: counted from 0.
        head: the gain of the head alone at this rung; None while it is not known.
        hope: how much more the newcomer may still gain; it is ranked by this optimistic bound.
        protected: whether it goes on whatever happens.
    """
    if protected:
        return True
    floor = _number(head)
    if rung == 0 and newcomer.slow:
        others = [other for other in others if other.family == newcomer.family]
        floor = -math.inf
    elif floor > -math.inf and not newcomer.gain > floor:
        return False
    gain = _number(newcomer.gain) + max(0.0, hope)
    if gain == -math.inf:
        return False
    everyone = [Point(gain=gain, size=newcomer.size), *map(_point, others)]
    return Ranking(everyone).is_first(0, floor)


def again(
    entries: Sequence[Entry], hopes: Sequence[float], *, rung: int, head: float | None
) -> list[bool]:
    """Return of all at a rung who would go on if it arrived now, after all the others.

    As `decide`, but the fronts are made once for all.

    Args:
        entries: everyone who was there, the head alone left out.
        hopes: of each, how much more it may still gain.
        rung: counted from 0.
        head: as of `decide`.
    """
    floor = _number(head)
    first = [False] * len(entries)
    spared = {entry.family if rung == 0 and entry.slow else None for entry in entries}
    for family in spared:
        places = [i for i, one in enumerate(entries) if family is None or one.family == family]
        ranking = Ranking([_point(entries[i]) for i in places])
        for place, i in enumerate(places):
            entry, alike = entries[i], rung == 0 and entries[i].slow
            if alike != (family is not None):
                continue
            least = -math.inf if alike else floor
            if _number(entry.gain) > least:
                first[i] = ranking.is_first(place, least, hope=max(0.0, hopes[i]))
    return first


class Ranking:
    """Everyone at a rung, in fronts.

    Args:
        points: everyone there is.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        self._layers = fronts(points)
        self._places = math.ceil(len(points) / ETA)
        self._bests = [self._stairs(layer) for layer in self._layers]

    def is_first(self, index: int, floor: float, *, hope: float = 0.0) -> bool:
        """Return whether one is among the first of all: one in `ETA` of them, rounded up.

        A member of the first front has at least `FRONT_PLACES` places to take.

        Args:
            index: of the point.
            floor: the gain of the head alone, -inf if it does not matter.
            hope: how much more it may still gain; it is ranked by this optimistic bound.
        """
        old = self._points[index]
        point = Point(gain=old.gain + hope, size=old.size)
        depth = next(d for d, best in enumerate(self._bests) if not _below(point, *best))
        ahead = sum(len(layer) for layer in self._layers[:depth])
        places = self._places if depth else max(self._places, FRONT_PLACES)
        if ahead >= places:
            return False
        if ahead + len(self._layers[depth]) < places:
            return True
        if hope:  # it drives others out of its front
            moved = [*self._points[:index], point, *self._points[index + 1 :]]
            return Ranking(moved).is_first(index, floor)
        others = (p.gain for i, p in enumerate(self._points) if i != index and p.gain > -math.inf)
        lowest = max(floor, min(others, default=floor))
        front = [self._points[i] for i in self._layers[depth]]
        areas = [_area(i, front, lowest) for i in range(len(front))]
        own = areas[self._layers[depth].index(index)]
        return ahead + sum(area > own for area in areas) < places

    def _stairs(self, layer: Sequence[int]) -> tuple[list[float], list[Point]]:
        """Return the members of a front, with their sizes, from small to large."""
        members = sorted((self._points[i] for i in layer), key=lambda p: (p.size, p.gain))
        return [p.size for p in members], members


def _below(point: Point, sizes: Sequence[float], members: Sequence[Point]) -> bool:
    """Return whether a member of a front dominates a point: the largest that is no larger."""
    place = bisect.bisect_right(sizes, point.size)
    return place > 0 and dominates(members[place - 1], point)


def _point(entry: Entry) -> Point:
    return Point(gain=_number(entry.gain), size=entry.size)


def _area(index: int, front: Sequence[Point], floor: float) -> float:
    return contribution(front[index], [*front[:index], *front[index + 1 :]], floor=floor)


def _number(gain: float | None) -> float:
    return -math.inf if gain is None or math.isnan(gain) else gain
