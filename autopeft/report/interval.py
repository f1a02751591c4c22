"""A figure between two others: text wherever it is read, a line with a dot on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


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


def on_one_scale(column: Sequence[object]) -> list[Interval | None]:
    """Return a column's intervals in percent of its width; None for its other cells.

    >>> _, last = on_one_scale([None, Interval(low=1.0, value=2.0, high=3.0, text="2")])
    >>> (last.low, last.value, last.high)
    (0.0, 50.0, 100.0)
    """
    known = [cell for cell in column if isinstance(cell, Interval)]
    least = min((cell.low for cell in known), default=0.0)
    width = max((cell.high for cell in known), default=0.0) - least

    def place(value: float) -> float:
        return round(100 * (value - least) / width, 1) if width else 50.0

    return [
        replace(cell, low=place(cell.low), value=place(cell.value), high=place(cell.high))
        if isinstance(cell, Interval)
        else None
        for cell in column
    ]
