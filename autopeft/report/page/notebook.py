"""A run inside a notebook: the figures of its page with colours of their own, and a short table."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autopeft.report.page.figure import Figure
from autopeft.report.page.shell import asset
from autopeft.report.table import cell

if TYPE_CHECKING:
    import plotly.graph_objects

_THEME = re.compile(r"--([\w-]+): light-dark\((#\w+), #\w+\)")


def colours() -> dict[str, str]:
    """Return the page's colours by name, those of its light theme."""
    return dict(_THEME.findall(asset("page.css")))


def plotly_figure(figure: Figure) -> plotly.graph_objects.Figure:
    """Return a figure that shows itself in a notebook; what a reader may switch is left out."""
    import plotly.graph_objects

    named = colours()
    return plotly.graph_objects.Figure(
        data=_coloured(list(figure.data), named),
        layout={
            "template": "plotly_white",
            "height": figure.height,
            "title": {"text": figure.title},
            **_coloured(figure.layout, named),
        },
    )


def _coloured(values: Any, named: Mapping[str, str]) -> Any:
    """Return values with the colours in the place of their names."""
    if isinstance(values, dict):
        return {key: _coloured(value, named) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_coloured(value, named) for value in values]
    if isinstance(values, str) and values.startswith("@"):
        return named.get(values[1:], values)
    return values


def summary_html(
    *, title: str, reason: str, rows: Sequence[Mapping[str, object]], folder: str
) -> str:
    """Return a title, a sentence and a table; whatever is in them is shown as it is."""
    columns = list(rows[0]) if rows else []
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(value))}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return (
        f"<p><b>{html.escape(title)}</b></p><p>{html.escape(reason)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p><code>{html.escape(folder)}</code></p>"
    )
