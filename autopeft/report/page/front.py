"""The front: score against a price, each trial a point, finalists with their error bars."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from autopeft.records import REFERENCES, TrialRecord, TrialState
from autopeft.report.page.figure import LEGEND, Figure, Table, inert, log_axis, score_axis
from autopeft.report.page.view import RunView
from autopeft.report.wording import PRICES, Price, count, points, score, seconds

KINDS = {
    "stopped": {"name": "stopped early", "symbol": "x-thin", "color": "@faint", "size": 7},
    "running": {"name": "not ended", "symbol": "circle-open", "color": "@faint", "size": 7},
    "complete": {"name": "trained to the end", "symbol": "circle", "color": "@muted", "size": 8},
    "finalist": {"name": "finalist, mean of seeds", "symbol": "circle", "color": "@ink", "size": 9},
    "head": {"name": "head alone", "symbol": "square", "color": "@third", "size": 10},
    "default": {"name": "default LoRA", "symbol": "diamond", "color": "@second", "size": 12},
    "chosen": {"name": "the choice", "symbol": "star", "color": "@accent", "size": 17},
}
"""How a trial is drawn, by what it is; a shape of its own for each, so that no colour is needed."""

LABELLED = 8


def seed_scores(view: RunView, record: TrialRecord) -> list[float]:
    """Return the scores of all seeds of a trial."""
    runs = [record, *view.replicates.get(record.number, ())]
    return [run.score for run in runs if run.score is not None]


def kind_of(view: RunView, record: TrialRecord) -> str:
    """Return which of `KINDS` a trial is."""
    if view.choice is not None and record.number == view.choice["number"]:
        return "chosen"
    if record.origin in REFERENCES:
        return record.origin
    if record.state is not TrialState.COMPLETE:
        return "running" if record.state is TrialState.RUNNING else "stopped"
    return "finalist" if len(seed_scores(view, record)) > 1 else "complete"


def front_figure(view: RunView) -> Figure | None:
    """Return the front, or None where no trial has a score."""
    shown = [
        record
        for record in view.records
        if record.state is not TrialState.FAILED and record.last_score is not None
    ]
    if not shown:
        return None
    groups = {kind: [r for r in shown if kind_of(view, r) == kind] for kind in KINDS}
    groups = {kind: records for kind, records in groups.items() if records}
    done = [record for record in shown if record.state is TrialState.COMPLETE]
    switch = {name: _switched(view, groups, price) for name, price in PRICES.items()}
    first = switch[next(iter(PRICES))]
    known = [v for r in shown for v in (*seed_scores(view, r), r.last_score) if v is not None]
    traces = [_line(), *(_trace(view, kind, records) for kind, records in groups.items())]
    for trace, change in zip(traces, first["data"], strict=True):
        trace.update(change)
    return Figure(
        name="front",
        title="Score against price",
        summary=_summary(view, done),
        data=traces,
        layout={
            "xaxis": first["xaxis"],
            "yaxis": score_axis(view.metric, view.percent, known),
            "legend": LEGEND,
            "hovermode": "closest",
        },
        table=_table(view),
        height=480,
        switch=switch,
        choices=[(price.name, price.title) for price in PRICES.values()],
    )


def _line() -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "line": {"shape": "hv", "color": "@accent", "width": 1.5, "dash": "dot"},
        "name": "front",
        "hoverinfo": "skip",
    }


def _trace(view: RunView, kind: str, records: Sequence[TrialRecord]) -> dict[str, Any]:
    look = KINDS[kind]
    scores = [seed_scores(view, record) for record in records]
    labelled = kind in ("chosen", "default", "head", "finalist") and len(records) <= LABELLED
    spreads = [statistics.stdev(found) if len(found) > 1 else None for found in scores]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers+text" if labelled else "markers",
        "name": look["name"],
        "marker": {
            "symbol": look["symbol"],
            "color": look["color"],
            "size": look["size"],
            "line": {"width": 1.5, "color": look["color"] if kind == "stopped" else "@paper"},
        },
        "y": [
            statistics.fmean(f) if f else r.last_score for f, r in zip(scores, records, strict=True)
        ],
        "hovertext": [_hover(view, record) for record in records],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    if labelled:
        trace |= {
            "text": [inert(record.candidate.method, 24) for record in records],
            "textposition": "top right",
            "textfont": {"color": look["color"], "size": 12},
        }
    if any(spreads):
        trace["error_y"] = {
            "type": "data",
            "array": [spread or 0.0 for spread in spreads],
            "color": look["color"],
            "thickness": 1.2,
            "width": 4,
        }
    return trace


def _hover(view: RunView, record: TrialRecord) -> str:
    found = seed_scores(view, record)
    said = score(statistics.fmean(found) if found else record.last_score, view.percent)
    if len(found) > 1:
        said += f" ± {points(statistics.stdev(found), view.percent)} over {len(found)} seeds"
    if record.state is TrialState.STOPPED and record.curve:
        said += f", stopped at {record.curve[-1].share:.0%}"
    costs = record.costs
    lines = [
        f"<b>trial {record.number}</b>",
        inert(record.candidate.describe(), 90),
        said,
        f"{count(costs.trainable_params)} trained parameters",
        f"{seconds(costs.train_seconds)} of training",
    ]
    return "<br>".join(lines)


def _switched(view: RunView, groups: dict[str, list[TrialRecord]], price: Price) -> dict[str, Any]:
    """Return what changes in the figure where another price is asked for."""
    values = [price.of(record.costs) for records in groups.values() for record in records]
    axis = log_axis(values, price.tick)
    line = [
        (axis.place(price.of(record.costs)), _mean(view, record))
        for record in cheapest(view, price)
    ]
    return {
        "xaxis": {"title": {"text": f"{price.title} (log)"}, **axis.layout},
        "data": [
            {"x": [x for x, _ in line], "y": [y for _, y in line]},
            *(
                {"x": [axis.place(price.of(record.costs)) for record in records]}
                for records in groups.values()
            ),
        ],
    }


def _mean(view: RunView, record: TrialRecord) -> float:
    return statistics.fmean(seed_scores(view, record))


def cheapest(view: RunView, price: Price) -> list[TrialRecord]:
    """Return the finished trials that nothing as cheap beats by the mean of seeds, cheapest first.

    Equal ones are all there.

    Args:
        view: of the run.
        price: what is paid; that of trained parameters makes the front.
    """
    sign = 1.0 if view.higher_is_better else -1.0
    priced = [
        (value, -sign * _mean(view, record), record.number, record)
        for record in view.records
        if record.state is TrialState.COMPLETE
        and record.score is not None
        and (value := price.of(record.costs)) is not None
    ]
    kept: list[TrialRecord] = []
    last, best = math.nan, math.inf
    for value, lost, _, record in sorted(priced, key=lambda item: item[:3]):
        if lost < best or (value, lost) == (last, best):
            last, best = value, lost
            kept.append(record)
    return kept


def _summary(view: RunView, done: list[TrialRecord]) -> str:
    if not done:
        return f"{len(view.records)} trials; none was trained to the end yet."
    front = cheapest(view, PRICES["trainable_params"])
    low, high = front[0], front[-1]
    said = (
        f"{len(view.records)} trials, {len(done)} of them trained to the end. The front goes from "
        f"{score(_mean(view, low), view.percent)} with {count(low.costs.trainable_params)} trained "
        f"parameters ({low.candidate.method})"
    )
    if high.costs.trainable_params == low.costs.trainable_params:
        return said + ", which nothing larger beats."
    return (
        said + f" to {score(_mean(view, high), view.percent)} with "
        f"{count(high.costs.trainable_params)} ({high.candidate.method})."
    )


def _table(view: RunView) -> Table:
    """Return the front's members, for whom the picture is nothing."""
    rows = [
        [
            str(record.number),
            record.candidate.describe(),
            score(_mean(view, record), view.percent),
            points(statistics.stdev(found), view.percent) if len(found) > 1 else "–",
            *(price.show(price.of(record.costs)) for price in PRICES.values()),
        ]
        for record in cheapest(view, PRICES["trainable_params"])
        if (found := seed_scores(view, record))
    ]
    return Table(
        caption="The front of score and trained parameters, the smallest first",
        columns=["trial", "candidate", "score", "± seeds", *(p.title for p in PRICES.values())],
        rows=rows,
        numeric=frozenset({0, *range(2, 4 + len(PRICES))}),
    )
