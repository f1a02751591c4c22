"""Several runs side by side: what differs, what each chose, and their fronts in one picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from autopeft.report.page.about import settings
from autopeft.report.page.figure import LEGEND, Figure, LogAxis, Table, inert, log_axis, score_axis
from autopeft.report.page.front import cheapest, seed_scores
from autopeft.report.page.view import RunView
from autopeft.report.wording import MISSING, PRICES, count, score, seconds

_COLOURS = ("@accent", "@second", "@third", "@fourth", "@fifth", "@ink", "@muted")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "pentagon", "cross", "star")
_DASHES = ("solid", "dash", "dot", "dashdot")
PARAMS = PRICES["trainable_params"]


def overview(views: Sequence[RunView]) -> Table:
    """Return what each run was about, what it chose and what that scores."""
    return Table(
        caption="The runs, what each chose and what that scores",
        columns=[
            *("run", "task and metric", "trials", "time", "choice", "trained"),
            *("selection", "test"),
        ],
        rows=[_row(place, view) for place, view in enumerate(views, start=1)],
        numeric=frozenset({2, 3, 5, 6, 7}),
    )


def differences(views: Sequence[RunView]) -> Table:
    """Return the settings in which the runs differ."""
    known = [_flat(view) for view in views]
    names = sorted({name for values in known for name in values})
    differing = [name for name in names if len({values.get(name) for values in known}) > 1]
    return Table(
        caption="Settings in which the runs differ",
        columns=["setting", *(f"run {place}" for place in range(1, len(views) + 1))],
        rows=[[name, *(values.get(name, MISSING) for values in known)] for name in differing],
    )


def fronts_figures(views: Sequence[RunView]) -> list[Figure]:
    """Return the fronts of all runs that share a metric, a picture for each metric."""
    metrics = list(dict.fromkeys(view.metric for view in views))
    placed = list(enumerate(views, start=1))
    made = (_fronts(m, [(n, v) for n, v in placed if v.metric == m]) for m in metrics)
    return [figure for figure in made if figure is not None]


def _fronts(metric: str, placed: Sequence[tuple[int, RunView]]) -> Figure | None:
    fronts = [(number, view, _front(view)) for number, view in placed]
    fronts = [item for item in fronts if item[2]]
    if not fronts:
        return None
    axis = log_axis([float(x) for _, _, points in fronts for x, _, _ in points], PARAMS.tick)
    scores = [y for _, _, points in fronts for _, y, _ in points]
    return Figure(
        name=f"fronts-{placed[0][0]}",
        title=f"The fronts, by {metric}",
        summary=(
            f"{metric} against trained parameters: the front of "
            f"{'one run' if len(fronts) == 1 else f'each of {len(fronts)} runs'}."
        ),
        data=[_trace(number, view, points, axis) for number, view, points in fronts],
        layout={
            "xaxis": {"title": {"text": f"{PARAMS.title} (log)"}, **axis.layout},
            "yaxis": score_axis(metric, fronts[0][1].percent, scores),
            "legend": LEGEND,
            "hovermode": "closest",
            "showlegend": True,
        },
        table=Table(
            caption="The members of the fronts",
            columns=["run", "candidate", "trained parameters", "score"],
            rows=[
                [str(number), said, count(x), score(y, view.percent)]
                for number, view, points in fronts
                for x, y, said in points
            ],
            numeric=frozenset({0, 2, 3}),
        ),
        height=480,
    )


def _front(view: RunView) -> list[tuple[int, float, str]]:
    """Return parameters, mean score and name of each member of a run's front."""
    return [
        (
            record.costs.trainable_params,
            statistics.fmean(seed_scores(view, record)),
            record.candidate.describe(),
        )
        for record in cheapest(view, PARAMS)
    ]


def _trace(
    number: int, view: RunView, points: Sequence[tuple[int, float, str]], axis: LogAxis
) -> dict[str, Any]:
    colour = _COLOURS[(number - 1) % len(_COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": inert(f"{number}: {view.name}", 40),
        "x": [axis.place(x) for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "hovertext": [f"<b>run {number}</b><br>{inert(said, 90)}" for _, _, said in points],
        "hovertemplate": "%{hovertext}<br>%{y}<extra></extra>",
        "line": {
            "shape": "hv",
            "color": colour,
            "width": 1.8,
            "dash": _DASHES[(number - 1) % len(_DASHES)],
        },
        "marker": {
            "symbol": _SYMBOLS[(number - 1) % len(_SYMBOLS)],
            "size": 11,
            "color": colour,
            "line": {"width": 1.5, "color": "@paper"},
        },
    }


def _row(place: int, view: RunView) -> list[str]:
    choice = view.choice
    head = [
        f"{place}: {view.name}",
        f"{view.task}, {view.metric}",
        str(len(view.records)),
        seconds(view.wall_seconds),
    ]
    if choice is None:
        return [*head, "nothing delivered yet", MISSING, MISSING, MISSING]
    mine = next(row for row in view.finalists if row["number"] == choice["number"])
    return [
        *head,
        choice["label"],
        count(choice["trainable_params"]),
        score(mine["mean"], view.percent),
        score(choice["test_scores"][view.metric], view.percent),
    ]


def _flat(view: RunView) -> dict[str, str]:
    versions = {f"version of {name}": version for name, version in view.versions.items()}
    return {"folder": view.folder, **dict(settings(view)), **versions}
