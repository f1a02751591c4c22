"""Cost breakdown: the six prices of the finalists beside those of the default LoRA."""

from __future__ import annotations

from typing import Any

from autopeft.records import TrialRecord
from autopeft.report.page.figure import LEGEND, Figure, Table, inert
from autopeft.report.page.front import KINDS, cheapest, kind_of
from autopeft.report.page.view import RunView
from autopeft.report.wording import PRICES, figures

_MOST = 6
_ROW_HEIGHT, _FRAME = 44, 130
_SYMBOLS = ("circle", "triangle-up", "pentagon", "triangle-down", "hexagon", "cross")
_COLOURS = ("@ink", "@fourth", "@fifth", "@muted", "@third", "@second")


def compared(view: RunView) -> list[TrialRecord]:
    """Return the trials whose prices are worth comparing: the finalists, else the front."""
    by_number = {record.number: record for record in view.records}
    final = [by_number[row["number"]] for row in view.finalists if row["number"] in by_number]
    return final or cheapest(view, PRICES["trainable_params"])[:_MOST]


def prices_figure(view: RunView) -> Figure | None:
    """Return each price as a multiple of the default's; None without a default to compare with."""
    records = compared(view)
    default = next((record for record in view.records if record.origin == "default"), None)
    others = [record for record in records if record is not default]
    if default is None or not others:
        return None
    titles = [price.title for price in PRICES.values()][::-1]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [1, 1],
            "y": [titles[0], titles[-1]],
            "line": {"color": KINDS["default"]["color"], "width": 1.5},
            "name": "default LoRA",
            "hoverinfo": "skip",
        }
    ]
    traces += [_trace(view, place, record, default) for place, record in enumerate(others)]
    return Figure(
        name="prices",
        title="Prices beside the default LoRA",
        summary=_summary(view, default),
        data=traces,
        layout={
            "xaxis": {
                "type": "log",
                "title": {"text": "multiple of the default (log)"},
                "tickvals": [10.0**power for power in range(-5, 4)],
                "ticktext": [f"{figures(10.0**power, 2)}×" for power in range(-5, 4)],
            },
            "yaxis": {"automargin": True, "categoryarray": titles, "ticks": ""},
            "legend": LEGEND,
            "hovermode": "closest",
        },
        table=price_table(records),
        height=_FRAME + _ROW_HEIGHT * len(titles) + 12 * len(others),
    )


def price_table(records: list[TrialRecord]) -> Table:
    """Return the six prices of trials."""
    return Table(
        caption="The six prices; trials that shared a pass have equal parts of its time and memory",
        columns=["trial", "candidate", *(price.title for price in PRICES.values())],
        rows=[
            [
                str(record.number),
                record.candidate.describe(),
                *(price.show(price.of(record.costs)) for price in PRICES.values()),
            ]
            for record in records
        ],
        numeric=frozenset({0, *range(2, 2 + len(PRICES))}),
    )


def _trace(view: RunView, place: int, record: TrialRecord, default: TrialRecord) -> dict[str, Any]:
    kind = kind_of(view, record)
    look = KINDS[kind]
    plain = kind not in ("chosen", "head")
    points = [
        (value / base, price.title, price.show(value))
        for price in PRICES.values()
        if (base := price.of(default.costs)) and (value := price.of(record.costs))
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": inert(f"{record.candidate.method} (trial {record.number})"),
        "x": [ratio for ratio, _, _ in points],
        "y": [title for _, title, _ in points],
        "customdata": [f"{said}, {figures(ratio, 2)}× the default" for ratio, _, said in points],
        "marker": {
            "symbol": _SYMBOLS[place % len(_SYMBOLS)] if plain else look["symbol"],
            "color": _COLOURS[place % len(_COLOURS)] if plain else look["color"],
            "size": 15 if kind == "chosen" else 10,
            "line": {"width": 1, "color": "@paper"},
        },
        "hovertemplate": (
            f"<b>{inert(record.candidate.describe(), 80)}</b><br>"
            "%{y}: %{customdata}<extra></extra>"
        ),
    }


def _summary(view: RunView, default: TrialRecord) -> str:
    if view.choice is None:
        return "The six prices of the front beside those of the default LoRA."
    record = next(r for r in view.records if r.number == view.choice["number"])
    if record is default:
        return "The choice is the default LoRA itself; the other finalists are set beside it."
    parts = [
        f"{figures(value / base, 2)}× its {price.title}"
        for price in PRICES.values()
        if (base := price.of(default.costs)) and (value := price.of(record.costs)) is not None
    ]
    return f"Beside the default LoRA the choice takes {', '.join(parts)}."
