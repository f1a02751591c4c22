"""A figure between two others: text wherever it is read, a line with a dot on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What stands in a cell for a mean and how far it may be off.

    Args:
        low: where the line begins.
        value: where the dot is.
        high: where the line ends.
        text: the same in figures.
    """

    low: float
    value: float
    high: float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Where the line and the dot of an interval are, in percent of the width of its column.

    Args:
        low: where the line begins.
        value: where the dot is.
        high: where the line ends.
    """

    low: float
    value: float
    high: float


def bars(column: Sequence[object]) -> list[Bar | None]:
    """Return the bars of a column's intervals, all on one scale; None for its other cells.

    >>> bars([Interval(low=1.0, value=2.0, high=3.0, text="2"), None])
    [Bar(low=0.0, value=50.0, high=100.0), None]
    """
    known = [cell for cell in column if isinstance(cell, Interval)]
    least = min((cell.low for cell in known), default=0.0)
    width = max((cell.high for cell in known), default=0.0) - least

    def place(value: float) -> float:
        return round(100 * (value - least) / width, 1) if width else 50.0

    return [
        Bar(low=place(cell.low), value=place(cell.value), high=place(cell.high))
        if isinstance(cell, Interval)
        else None
        for cell in column
    ]
