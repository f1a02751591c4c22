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

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autopeft.methods import MethodInfo
from autopeft.records import Candidate
from autopeft.search.front import Point, contribution, fronts

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
    eta: int = ETA,
) -> bool:
    """Return whether the newcomer goes on.

    Args:
        newcomer: who arrives at the rung.
        others: who was there before, the head alone left out.
        rung: counted from 0.
        head: the gain of the head alone at this rung; None while it is not known.
        hope: how much more the newcomer may still gain; it is ranked by this optimistic bound.
        protected: whether it goes on whatever happens.
        eta: one in this many goes on.
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
    return _ranked(Point(gain=gain, size=newcomer.size), others, floor, eta)


def _ranked(newcomer: Point, others: Sequence[Entry], floor: float, eta: int) -> bool:
    """Return whether the newcomer is among the first 1/eta, rounded up, of all at the rung.

    A member of the first front has at least `FRONT_PLACES` places to take.
    """
    points = [newcomer, *(Point(gain=_number(o.gain), size=o.size) for o in others)]
    places = math.ceil(len(points) / eta)
    layers = fronts(points)
    depth = next(d for d, layer in enumerate(layers) if 0 in layer)
    front = [points[i] for i in layers[depth]]
    ahead = sum(len(layer) for layer in layers[:depth])
    if depth == 0:
        places = max(places, FRONT_PLACES)
    elif ahead >= places:
        return False
    lowest = max(floor, min((p.gain for p in points[1:] if p.gain > -math.inf), default=floor))
    areas = [_area(i, front, lowest) for i in range(len(front))]
    return ahead + sum(area > areas[0] for area in areas[1:]) < places


def _area(index: int, front: Sequence[Point], floor: float) -> float:
    return contribution(front[index], [*front[:index], *front[index + 1 :]], floor=floor)


def _number(gain: float | None) -> float:
    return -math.inf if gain is None or math.isnan(gain) else gain
