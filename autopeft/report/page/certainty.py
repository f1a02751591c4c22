"""How sure the choice is: how far each finalist is behind the best, with the standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopeft.report.page.figure import Figure, Table, inert
from autopeft.report.page.view import RunView
from autopeft.report.wording import count, points, score, trainings

_ROW_HEIGHT, _FRAME = 46, 120


def certainty_figure(view: RunView) -> Figure | None:
    """Return Δ and its standard error for each finalist; None before the choice."""
    choice = view.choice
    if choice is None:
        return None
    rows = list(view.finalists)[::-1]
    scale = 100.0 if view.percent else 1.0
    unit = "points" if view.percent else inert(view.metric)
    chosen = [row["number"] == choice["number"] for row in rows]
    return Figure(
        name="certainty",
        title="How sure the choice is",
        summary=_summary(view),
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "x": [scale * row["behind"] for row in rows],
                "y": [_name(row) for row in rows],
                "error_x": {
                    "type": "data",
                    "array": [scale * row["standard_error"] for row in rows],
                    "color": "@muted",
                    "thickness": 1.5,
                    "width": 6,
                },
                "marker": {
                    "symbol": ["star" if mine else "circle" for mine in chosen],
                    "size": [17 if mine else 10 for mine in chosen],
                    "color": ["@accent" if mine else "@ink" for mine in chosen],
                    "line": {"width": 1.5, "color": "@paper"},
                },
                "customdata": [_likely(row) for row in rows],
                "hovertemplate": (
                    "%{y}<br>%{x:,.3~r} behind the best<br>%{customdata}<extra></extra>"
                ),
            },
        ],
        layout={
            "xaxis": {
                "title": {"text": f"{unit} behind the best"},
                "zeroline": True,
                "autorange": "reversed",
            },
            "yaxis": {"automargin": True, "ticks": ""},
            "showlegend": False,
        },
        table=_table(view),
        height=_FRAME + _ROW_HEIGHT * len(rows),
    )


def _name(row: Mapping[str, Any]) -> str:
    return inert(f"{row['label'].split()[0]} (trial {row['number']})", 40)


def _likely(row: Mapping[str, Any]) -> str:
    """Return how likely a finalist is the best; older runs do not know of ties."""
    said = f"the best with a probability of {row['best_share']:.0%}"
    tied = row.get("tied_share")
    return said if tied is None else f"{said}, the best or tied of {tied:.0%}"


def _summary(view: RunView) -> str:
    rows = view.finalists
    assert view.choice is not None
    number = view.choice["number"]
    mine = next(row for row in rows if row["number"] == number)
    best = f"{_likely(mine)}, as other rows and other seeds would have it"
    if mine["behind"] <= 0:
        ahead = any(row["behind"] < 0 for row in rows)  # a reference that may not be chosen
        whose = "those that may be chosen" if ahead else f"{len(rows)} finalists"
        return f"The choice has the best mean of {whose}; {best}."
    return (
        f"The choice is {points(mine['behind'], view.percent)} ± "
        f"{points(mine['standard_error'], view.percent)} behind the best of {len(rows)} finalists; "
        f"{best}."
    )


def _table(view: RunView) -> Table:
    return Table(
        caption="The finalists, the best first; Δ is how far each is behind the best",
        columns=[
            "trial",
            "candidate",
            "trained",
            "seeds",
            "selection",
            "Δ",
            "best",
            "or tied",
            "test",
        ],
        rows=[
            [
                str(row["number"]),
                row["label"],
                count(row["trainable_params"]),
                trainings(row["seeds"], row.get("failures", ())),
                score(row["mean"], view.percent)
                + (
                    f" ± {points(row['spread'], view.percent)}" if row["spread"] is not None else ""
                ),
                f"{points(row['behind'], view.percent)} ± "
                f"{points(row['standard_error'], view.percent)}",
                f"{row['best_share']:.0%}",
                "–" if row.get("tied_share") is None else f"{row['tied_share']:.0%}",
                score(row["test_score"], view.percent),
            ]
            for row in view.finalists
        ],
        numeric=frozenset({0, 2, 3, 4, 5, 6, 7, 8}),
    )
