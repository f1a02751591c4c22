"""What mattered: the importance of settings, and the best score of each method where placed."""

from __future__ import annotations

from collections.abc import Mapping

from autopeft.records import Placement, TrialRecord, TrialState
from autopeft.report.page.figure import HEATMAP, Figure, Table, inert, inert_names
from autopeft.report.page.view import RunView
from autopeft.report.wording import score

NO_PLACEMENT = "whole model"
_MOST_COLUMNS = 10
_ROW_HEIGHT, _FRAME = 34, 150


def importance_figure(view: RunView) -> Figure | None:
    """Return the importance of the settings as bars; None where nothing can be said."""
    found = view.importance
    if not found.shares:
        return None
    ranked = sorted(found.shares.items(), key=lambda item: item[1][0])
    most = ranked[-1]
    return Figure(
        name="importance",
        title="Importance for the score",
        summary=(
            f"Of what differed among {found.trials} trials at {found.trained:.0%} of their "
            f"training, {most[0]} explains most of the score: {most[1][0]:.0%}."
        ),
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": [inert(name) for name, _ in ranked],
                "x": [mean for _, (mean, _) in ranked],
                "error_x": {
                    "type": "data",
                    "array": [spread for _, (_, spread) in ranked],
                    "color": "@muted",
                    "thickness": 1.2,
                    "width": 3,
                },
                "marker": {"color": "@accent"},
                "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
            }
        ],
        layout={
            "xaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "importance"}},
            "yaxis": {"automargin": True, "showgrid": False, "ticks": ""},
            "bargap": 0.45,
            "showlegend": False,
        },
        table=Table(
            caption="Share of the explained variance of the score",
            columns=["setting", "importance", "± over repeats"],
            rows=[
                [name, f"{mean:.1%}", f"{spread:.1%}"] for name, (mean, spread) in reversed(ranked)
            ],
            numeric=frozenset({1, 2}),
        ),
        height=_FRAME - 30 + _ROW_HEIGHT * len(ranked),
    )


def heat_figure(view: RunView) -> Figure | None:
    """Return the best score of each method at each placement; None where nothing was scored."""
    done = [
        r for r in view.records if r.state is not TrialState.FAILED and r.last_score is not None
    ]
    name = _precise if len({_precise(r) for r in done}) <= _MOST_COLUMNS else _rough
    cells: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in done:
        cells.setdefault((record.candidate.method, name(record)), []).append(record)
    if not cells:
        return None
    best = {place: _best(view, records) for place, records in cells.items()}
    sign = 1.0 if view.higher_is_better else -1.0
    methods = sorted({method for method, _ in cells}, key=lambda m: _lead(best, m, 0, sign))
    placements = sorted({place for _, place in cells}, key=lambda p: -_lead(best, p, 1, sign))
    winner = max(best, key=lambda place: sign * best[place])
    return Figure(
        name="placement",
        title="Method and placement",
        summary=(
            f"The best score of {len(methods)} methods at {len(placements)} placements, that of a "
            f"trial stopped early where it was stopped. The best is {winner[0]} at {winner[1]}: "
            f"{score(best[winner], view.percent)}."
        ),
        data=[
            {
                **HEATMAP,
                "x": [place.replace(", ", "<br>") for place in inert_names(placements, 60)],
                "y": [inert(method, 30) for method in methods],
                "z": [[best.get((m, p)) for p in placements] for m in methods],
                "text": [[_cell(view, best, cells, (m, p)) for p in placements] for m in methods],
                "texttemplate": "%{text}",
                "hovertemplate": "%{y} at %{x}<br>%{text}<extra></extra>",
                "reversescale": not view.higher_is_better,
                "hoverongaps": False,
            }
        ],
        layout={
            "xaxis": {"automargin": True, "showgrid": False, "ticks": ""},
            "yaxis": {"automargin": True, "showgrid": False, "ticks": ""},
        },
        table=Table(
            caption="The best score of each method at each placement",
            columns=["method", "placement", "best score", "trials"],
            rows=[
                [m, p, score(best[m, p], view.percent), str(len(cells[m, p]))]
                for m in reversed(methods)
                for p in placements
                if (m, p) in best
            ],
            numeric=frozenset({2, 3}),
        ),
        height=_FRAME + _ROW_HEIGHT * len(methods),
    )


def _cell(
    view: RunView,
    best: Mapping[tuple[str, str], float],
    cells: Mapping[tuple[str, str], list[TrialRecord]],
    place: tuple[str, str],
) -> str:
    if place not in best:
        return ""
    records = cells[place]
    early = all(record.state is TrialState.STOPPED for record in records)
    times = f" ({len(records)})" if len(records) > 1 else ""
    return f"{score(best[place], view.percent)}{'*' if early else ''}{times}"


def _best(view: RunView, records: list[TrialRecord]) -> float:
    """Return the best score of those that were trained furthest."""
    ended = [r for r in records if r.state is TrialState.COMPLETE] or records
    scores = [found for record in ended if (found := record.last_score) is not None]
    return max(scores) if view.higher_is_better else min(scores)


def _lead(best: Mapping[tuple[str, str], float], name: str, part: int, sign: float) -> float:
    return max(sign * value for place, value in best.items() if place[part] == name)


def _precise(record: TrialRecord) -> str:
    placement = record.candidate.placement
    if placement is None:
        return NO_PLACEMENT
    layers = "" if placement.layers == "all" else f" {_shortened(placement.layers)}"
    return ", ".join(placement.sites) + layers


def _shortened(rule: str) -> str:
    return "some layers" if rule.startswith("mask") else rule


def _rough(record: TrialRecord) -> str:
    placement = record.candidate.placement
    return NO_PLACEMENT if placement is None else f"{_part(placement)}{_layers(placement)}"


def _part(placement: Placement) -> str:
    kinds = {site.split(".")[0] for site in placement.sites}
    if {"attn", "ffn"} <= kinds:
        return "attention and feed-forward"
    if "attn" in kinds:
        return "attention"
    return "feed-forward" if "ffn" in kinds else ", ".join(sorted(kinds))


def _layers(placement: Placement) -> str:
    rule = placement.layers.split(":")[0]
    named = {"all": "", "top": ", top layers", "bottom": ", bottom layers"}
    return named.get(rule, ", some layers")
