"""Learning curves: the score at each rung, and where a trial was stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from autopeft.records import TrialRecord, TrialState
from autopeft.report.page.figure import LEGEND, Figure, Table, inert, score_axis
from autopeft.report.page.front import KINDS, kind_of
from autopeft.report.page.view import RunView
from autopeft.report.wording import score

ORDER = ("stopped", "running", "complete", "head", "default", "chosen")


def curves_figure(view: RunView) -> Figure | None:
    """Return the curves of all trials that did not fail, or None where there is none."""
    shown = [r for r in view.records if r.curve and r.state is not TrialState.FAILED]
    if not shown:
        return None
    groups: dict[str, list[TrialRecord]] = {kind: [] for kind in ORDER}
    for record in shown:
        kind = kind_of(view, record)
        groups["complete" if kind == "finalist" else kind].append(record)
    scores = [point.score for record in shown for point in record.curve]
    return Figure(
        name="curves",
        title="Learning curves",
        summary=_summary(shown),
        data=[_trace(view, kind, records) for kind, records in groups.items() if records],
        layout={
            "xaxis": {"title": {"text": "share of the training"}, "tickformat": ".0%"},
            "yaxis": score_axis(view.metric, view.percent, scores),
            "legend": LEGEND,
            "hovermode": "closest",
        },
        table=_table(view, shown),
    )


def _trace(view: RunView, kind: str, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """Return the curves of a kind as one line with gaps; only their ends have a mark."""
    x: list[float | None] = []
    y: list[float | None] = []
    sizes: list[int] = []
    texts: list[str] = []
    look = KINDS[kind]
    for record in records:
        for point in record.curve:
            x.append(point.share)
            y.append(point.score)
            sizes.append(4)
            texts.append(_hover(view, record, point.score, point.share))
        sizes[-1] = 12 if kind == "chosen" else 8
        x.append(None)
        y.append(None)
        sizes.append(0)
        texts.append("")
    strong = kind in ("chosen", "default", "head")
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": look["name"],
        "x": x,
        "y": y,
        "line": {"color": look["color"], "width": 2.4 if strong else 1},
        "marker": {
            "symbol": look["symbol"],
            "size": sizes,
            "opacity": 1,
            "color": look["color"],
            "line": {"width": 1.5 if kind == "stopped" else 0, "color": look["color"]},
        },
        "opacity": 1.0 if strong else 0.8,
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _hover(view: RunView, record: TrialRecord, reached: float, share: float) -> str:
    stopped = record.state is TrialState.STOPPED and share == record.curve[-1].share
    return (
        f"<b>trial {record.number}</b><br>{inert(record.candidate.describe(), 90)}<br>"
        f"{score(reached, view.percent)} after {share:.0%}{', stopped here' if stopped else ''}"
    )


def _summary(shown: list[TrialRecord]) -> str:
    early = [record for record in shown if record.state is TrialState.STOPPED]
    stopped = [record for record in early if record.cut_share is None]
    said = f"Scores of {len(shown)} trials as their training went on; "
    if not early:
        return said + "none was stopped early."
    parts = []
    if stopped:
        at = Counter(round(record.curve[-1].share, 2) for record in stopped)
        where = ", ".join(f"{number} at {share:.0%}" for share, number in sorted(at.items()))
        parts.append(
            f"{_were(len(stopped))} stopped because others were better: {where} of the training"
        )
    if len(early) > len(stopped):
        parts.append(f"{_were(len(early) - len(stopped))} cut short by the time limit")
    return f"{said}{'; '.join(parts)}."


def _were(count: int) -> str:
    return f"{count} {'was' if count == 1 else 'were'}"


def _table(view: RunView, shown: list[TrialRecord]) -> Table:
    rows = [
        [
            str(record.number),
            record.candidate.describe(),
            ", ".join(
                f"{point.share:.0%}: {score(point.score, view.percent)}" for point in record.curve
            ),
            record.state.value,
        ]
        for record in shown
    ]
    return Table(
        caption="The score of each trial after each share of its training",
        columns=["trial", "candidate", "scores", "state"],
        rows=rows,
        numeric=frozenset({0}),
    )
