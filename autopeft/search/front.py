"""Pareto fronts of (gain up, size down).

A gain is a score turned so that more is better; a size is ``log10(1 + trained parameters)``. Every
comparison of the search is made here, so a metric's direction is turned in one place: `gain`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autopeft.records import TrialRecord, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in the plane of accuracy against parameters."""

    gain: float
    size: float


def gain(score: float | None, higher_is_better: bool) -> float:
    """Return the score so that more is better; what is missing or NaN is worse than anything."""
    if score is None or math.isnan(score):
        return -math.inf
    return score if higher_is_better else -score


def size(trainable_params: int) -> float:
    """Return ``log10(1 + trained parameters)``: 0 for the head alone, never infinite."""
    return math.log10(1 + trainable_params)


def dominates(one: Point, other: Point) -> bool:
    """Return whether `one` is nowhere worse and somewhere better."""
    nowhere_worse = one.gain >= other.gain and one.size <= other.size
    return nowhere_worse and (one.gain > other.gain or one.size < other.size)


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Return the indices of `points` in non-dominated fronts, the best front first.

    One sweep from small to large: what a front's best gain so far dominates goes to a later front.
    """
    layers: list[list[int]] = []
    leaders: list[Point] = []  # of each front, the smallest point of the best gain so far
    for i in sorted(range(len(points)), key=lambda i: (points[i].size, -points[i].gain)):
        point = points[i]
        depth = next((d for d, best in enumerate(leaders) if not dominates(best, point)), None)
        if depth is None:
            layers.append([i])
            leaders.append(point)
            continue
        layers[depth].append(i)
        if point.gain > leaders[depth].gain:
            leaders[depth] = point
    return [sorted(layer) for layer in layers]


def pareto(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that no other dominates; equal points are all kept."""
    return fronts(points)[0] if points else []


def front_of(
    records: Iterable[TrialRecord],
    higher_is_better: bool,
    replicates: Mapping[int, Sequence[TrialRecord]] | None = None,
) -> list[TrialRecord]:
    """Return the finished trials on the front of score and parameters, smallest first.

    Args:
        records: of all trials.
        higher_is_better: the metric's direction.
        replicates: further seeds by trial; what counts is the mean over all seeds.
    """
    done = [r for r in records if r.state is TrialState.COMPLETE and r.score is not None]

    def mean(record: TrialRecord) -> float:
        runs = (record, *(replicates or {}).get(record.number, ()))
        return statistics.fmean(run.score for run in runs if run.score is not None)

    points = [
        Point(gain=gain(mean(r), higher_is_better), size=size(r.costs.trainable_params))
        for r in done
    ]
    return sorted((done[index] for index in pareto(points)), key=lambda r: r.costs.trainable_params)


def area(points: Iterable[Point], *, floor: float, most: float) -> float:
    """Return the area between a front and the reference point (gain `floor`, size `most`).

    >>> area([Point(gain=0.7, size=1.0), Point(gain=0.8, size=2.0)], floor=0.5, most=4.0)
    0.8
    """
    inside = sorted(
        (p for p in points if p.size <= most and p.gain > floor), key=lambda p: (p.size, -p.gain)
    )
    total, best = 0.0, floor
    for point in inside:
        if point.gain > best:
            total += (point.gain - best) * (most - point.size)
            best = point.gain
    return total


def contribution(point: Point, front: Iterable[Point], *, floor: float) -> float:
    """Return the area that `point` alone adds to its front.

    The area is a box: down to the best gain that a smaller member has (`floor` if there is none),
    right to the size of the next larger member. It grows with the point's own gain, which crowding
    distance does not. The member of the best gain counts as infinite.
    """
    members = list(front)
    if all(point.gain >= other.gain for other in members):
        return math.inf
    wider = min((m.size for m in members if m.size >= point.size), default=point.size)
    if wider == point.size or point.gain == -math.inf:
        return 0.0
    below = max((m.gain for m in members if m.size <= point.size), default=floor)
    return max(0.0, point.gain - max(below, floor)) * (wider - point.size)
