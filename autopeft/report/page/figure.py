"""A figure: what plotly draws, one sentence that says what is to be seen, and its numbers.

Colours are names with an ``@`` before them, such as ``@accent``; the page's script puts the colour
of the theme in their place, so that a figure follows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_DECADES = 0.4
LEAST_SPREAD = 0.02
"""Of the largest score: scores closer together than that are not spread over the whole axis."""

LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
"""Where it stands in every figure that has one: above the picture, from the left."""

HEATMAP = {
    "type": "heatmap",
    "colorscale": [[0, "@heat0"], [0.5, "@heat1"], [1, "@heat2"]],
    "showscale": False,
    "xgap": 3,
    "ygap": 3,
}
"""What all traces of coloured cells have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a heading each.

    Args:
        caption: what the table holds.
        columns: headings.
        rows: of as many cells as there are columns.
        numeric: which columns hold numbers, and are set to the right.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture and the same in words and numbers.

    Args:
        name: unique on its page; letters, digits and hyphens.
        title: what it shows, for the heading.
        summary: the text alternative: what is to be seen.
        data: plotly's traces.
        layout: plotly's layout, without what all figures share.
        table: the numbers.
        height: in CSS pixels.
        switch: by what a reader may choose, changes to ``data`` (one per trace) and ``layout``.
        choices: what a reader may choose: key and name; the first is shown.
    """

    name: str
    title: str
    summary: str
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    table: Table
    height: int = 420
    switch: dict[str, Any] = field(default_factory=dict)
    choices: Sequence[tuple[str, str]] = ()

    def plot(self) -> dict[str, Any]:
        """Return what the page's script draws."""
        values = {"data": list(self.data), "layout": self.layout, "height": self.height}
        return values | ({"switch": self.switch} if self.switch else {})


def inert(text: object, most: int = 120) -> str:
    """Return text that plotly shows as it is: no markup, no line breaks, at most `most` signs.

    Plotly reads ``<b>``, ``<a>`` and entities in its texts; an entity for each sign of theirs
    leaves nothing to read.
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def inert_names(names: Sequence[str], most: int) -> list[str]:
    """Return names as `inert` shows them; those that would look like an earlier one are numbered.

    >>> inert_names(["first of two", "first of both"], 9)
    ['first of…', 'first of… (2)']
    """
    found: list[str] = []
    for name in names:
        line = shown = inert(name, most)
        number = 1
        while shown in found:
            number += 1
            shown = f"{line} ({number})"
        found.append(shown)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAxis:
    """A logarithmic axis on which 0 has its place too, left of everything else.

    Args:
        zero: where 0 is put; None where there is none.
        layout: plotly's ``type``, ``range``, ``tickvals`` and ``ticktext``.
    """

    zero: float | None
    layout: dict[str, Any]

    def place(self, value: float | None) -> float | None:
        """Return where a value is put."""
        return self.zero if value == 0 else value


def log_axis(values: Sequence[float | None], tick: Callable[[float], str]) -> LogAxis:
    """Return an axis for values of at least 0, those that are missing left out."""
    known = [value for value in values if value is not None]
    positive = [value for value in known if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    if high - low < LEAST_DECADES:
        low, high = low - LEAST_DECADES / 2, high + LEAST_DECADES / 2
    margin = 0.06 * (high - low)
    marks = _marks(low, high)
    left, zero = low - margin, None
    if 0 in known:
        zero = 10 ** (low - 0.16 * (high - low))
        left, marks = math.log10(zero) - margin, [zero, *marks]
    return LogAxis(
        zero=zero,
        layout={
            "type": "log",
            "range": [left, high + 2 * margin],
            "tickvals": marks,
            "ticktext": ["0" if mark == zero else tick(mark) for mark in marks],
        },
    )


def score_axis(metric: str, percent: bool, scores: Sequence[float]) -> dict[str, Any]:
    """Return the layout of the axis for one or more scores on the selection split.

    Plotly chooses the range, except where all scores are nearly the same: it would then show a
    hundred points around them.
    """
    low, high = min(scores), max(scores)
    axis: dict[str, Any] = {"title": {"text": f"{inert(metric)} on the selection split"}}
    if percent:
        axis["tickformat"] = ".1~%"
    least = LEAST_SPREAD * max(abs(low), abs(high))
    if high - low < least:
        axis["range"] = [low - 2 * least, high + 2 * least]
    return axis


def _marks(low: float, high: float) -> list[float]:
    """Return round values between two powers of ten: 1, or 1, 2 and 5, times powers of ten."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps: tuple[float, ...] = (1,) if high - low > 3 else (1, 2, 5) if high - low > 0.7 else ()
    steps = steps or (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    marks = [step * 10.0**decade for decade in decades for step in steps]
    return [mark for mark in marks if low - 0.02 <= math.log10(mark) <= high + 0.02]
