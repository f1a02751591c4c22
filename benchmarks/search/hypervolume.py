"""How much of what a table holds a search has found: the area its front covers.

Gain (the score, more is better) against ``log10(1 + trained parameters)``. The reference point is
the mean gain of the head alone, at the size of the largest row of the table: what does not beat the
head counts nothing, whatever its size. Scores are means over a row's recorded seeds, so that no
search is credited with the luck of a seed; a search sees one seed. Normalised, 1 is the area that
the front of the whole table covers.

Paper: Zitzler and Thiele (1998) for the measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autopeft.records import TrialState
from autopeft.search.front import Point, area
from autopeft.search.portfolio import HEAD_METHOD
from benchmarks.search.recorded import Row, Table
from benchmarks.search.replay import Step

NEARLY_ALL = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the hypervolume of a task is measured by.

    Args:
        table: of the task.
        floor: mean gain of the head alone.
        best: that of the best row.
        most: size of the largest row.
        whole: area of the front of all rows.
    """

    table: Table
    floor: float
    best: float
    most: float
    whole: float

    @classmethod
    def of(cls, table: Table) -> Scale:
        """Return the scale of a table.

        Raises:
            ValueError: the table lacks the head alone, or nothing in it beats the head.
        """
        heads = [row for row in table.rows if row.candidate.method == HEAD_METHOD]
        floors = [table.gain(row.score) for row in heads if row.score is not None]
        if not floors:
            raise ValueError("the head alone is not recorded")
        floor, most = max(floors), max(row.size for row in table.rows)
        whole = area(_points(table, table.rows), floor=floor, most=most)
        if whole <= 0:
            raise ValueError("no row is better than the head alone")
        best = max(table.gain(row.score) for row in table.rows if row.score is not None)
        return cls(table=table, floor=floor, best=best, most=most, whole=whole)

    def share(self, row: Row) -> float | None:
        """Return how far a row is on the way from the head alone to the best; None if it failed."""
        if row.score is None:
            return None
        return (self.table.gain(row.score) - self.floor) / (self.best - self.floor)

    def share_of(self, rows: Sequence[Row]) -> float:
        """Return the normalised hypervolume of some rows."""
        found = area(_points(self.table, rows), floor=self.floor, most=self.most)
        return found / self.whole


def growth(scale: Scale, steps: Sequence[Step]) -> list[tuple[int, float]]:
    """Return (epochs spent, normalised hypervolume) after each training that was completed."""
    rows: list[Row] = []
    points = [(0, 0.0)]
    for step in steps:
        if step.state is TrialState.COMPLETE:
            rows.append(step.row)
            points.append((step.epochs, scale.share_of(rows)))
    return points


def epochs_to(points: Sequence[tuple[int, float]], share: float = NEARLY_ALL) -> int | None:
    """Return the epochs spent when a share of the hypervolume was reached; None: never."""
    return next((epochs for epochs, found in points if found >= share), None)


def _points(table: Table, rows: Iterable[Row]) -> list[Point]:
    return [
        Point(gain=table.gain(row.score), size=row.size) for row in rows if row.score is not None
    ]
