"""A search that is told beforehand what every candidate scores under one of the recorded seeds.

It needs no search: it trains the front it was told of, then the next, each in the order in which
the area grows fastest. What it takes beyond the members of the true front is the price of luck,
which a search that knows no more than other tasks pays too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autopeft.records import Candidate
from autopeft.search.front import Point, fronts
from autopeft.search.other_tasks import covering
from benchmarks.search.recorded import Row, Table
from benchmarks.search.replay import Answer


class Foreknown:
    """Trains what it was told is best.

    Args:
        table: whose scores it is told.
        seed: draws which of a row's recorded trainings it is told.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self.space = table.space
        self._ordered = _ordered(table, np.random.default_rng(seed))

    def ask(self) -> Candidate | None:
        """Return the next in its order."""
        return next(self._ordered, None)

    def repeats(self) -> bool:
        """Return False: it stops nothing."""
        return False

    def begin(self, row: Row) -> None:
        """Hear that what it asked for is trained."""
        del row

    def goes_on(self, epoch: int, score: float) -> bool:
        """Return True: it stops nothing."""
        del epoch, score
        return True

    def tell(self, answer: Answer) -> None:
        """Hear what it need not know."""
        del answer


def _ordered(table: Table, generator: np.random.Generator) -> Iterator[Candidate]:
    told = [row.trainings[generator.integers(len(row.trainings))].score for row in table.rows]
    points = [
        Point(gain=table.gain(score), size=row.size)
        for row, score in zip(table.rows, told, strict=True)
    ]
    floor = min(point.gain for point, score in zip(points, told, strict=True) if score is not None)
    most = max(point.size for point in points)
    for front in fronts(points):
        for place in _fastest([points[i] for i in front], floor=floor, most=most):
            yield table.rows[front[place]].candidate


def _fastest(points: Sequence[Point], *, floor: float, most: float) -> Iterator[int]:
    """Yield the places of points, first what adds most to the area of those before."""
    gains = [{"told": point.gain - floor} for point in points]
    sizes = [point.size for point in points]
    adding = covering(gains, sizes, most=most, places=len(points))
    yield from adding
    yield from (i for i in range(len(points)) if i not in adding)
