"""The data card: how many rows, how the labels are spread, how long the texts are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autopeft.report.page.figure import LEGEND, Figure, Table, inert_names
from autopeft.report.page.view import RunView, SplitView
from autopeft.report.wording import figures

COLOURS = {"train": "@heat2", "selection": "@heat1", "test": "@faint"}
"""Shades of one colour, told apart by how light they are."""

_MOST_CLASSES = 30


def labels_figure(view: RunView) -> Figure | None:
    """Return how often each label occurs in each split, as shares of the split."""
    splits = [split for split in view.splits if split.rows]
    if not splits:
        return None
    if view.labels:
        return _classes(view, splits)
    return _numbers(splits, "labels", "The numbers to predict", [split.bins for split in splits])


def lengths_figure(view: RunView) -> Figure | None:
    """Return how long the texts of each split are, in words."""
    splits = [split for split in view.splits if split.words]
    if not splits:
        return None
    return _numbers(splits, "lengths", "Words per text", [split.words for split in splits])


def _classes(view: RunView, splits: Sequence[SplitView]) -> Figure:
    total = {name: sum(split.labels.get(name, 0) for split in splits) for name in view.labels}
    names = sorted(view.labels, key=lambda name: -total[name])
    shown = names[:_MOST_CLASSES]
    most, least = names[0], names[-1]
    everything = sum(total.values()) or 1
    cut = "" if len(shown) == len(names) else f" The {len(shown)} most frequent are drawn."
    return Figure(
        name="labels",
        title="Label balance",
        summary=(
            f"{len(names)} classes; the most frequent is {most} with "
            f"{total[most] / everything:.0%} of all rows, the least frequent {least} with "
            f"{total[least] / everything:.0%}.{cut}"
        ),
        data=[
            _bars(split, inert_names(shown, 40), [split.labels.get(n, 0) for n in shown])
            for split in splits
        ],
        layout=_layout(None),
        table=Table(
            caption="Rows of each class in each split",
            columns=["class", *(split.name for split in splits)],
            rows=[
                [name, *(f"{split.labels.get(name, 0):,}" for split in splits)] for name in names
            ],
            numeric=frozenset(range(1, 1 + len(splits))),
        ),
        height=320,
    )


def _numbers(
    splits: Sequence[SplitView],
    name: str,
    title: str,
    bins: Sequence[Sequence[tuple[float, float, int]]],
) -> Figure:
    edges = bins[0]
    names = inert_names([f"{figures(low, 4)}–{figures(high, 4)}" for low, high, _ in edges], 40)
    counts = [[number for _, _, number in found] for found in bins]
    most = max(range(len(names)), key=lambda place: sum(found[place] for found in counts))
    return Figure(
        name=name,
        title=title,
        summary=f"From {figures(edges[0][0], 4)} to {figures(edges[-1][1], 4)}; "
        f"most are in {names[most]}.",
        data=[_bars(s, names, found) for s, found in zip(splits, counts, strict=True)],
        layout=_layout(title.lower()),
        table=Table(
            caption=f"{title}: rows in each range",
            columns=["range", *(split.name for split in splits)],
            rows=[
                [label, *(f"{found[place]:,}" for found in counts)]
                for place, label in enumerate(names)
            ],
            numeric=frozenset(range(1, 1 + len(splits))),
        ),
        height=320,
    )


def _bars(split: SplitView, names: list[str], counts: list[int]) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": split.name,
        "x": names,
        "y": [count / max(1, split.rows) for count in counts],
        "customdata": counts,
        "marker": {"color": COLOURS[split.name]},
        "hovertemplate": "%{x}: %{customdata} rows, %{y:.1%} of " + split.name + "<extra></extra>",
    }


def _layout(title: str | None) -> dict[str, Any]:
    return {
        "barmode": "group",
        "bargap": 0.35,
        "bargroupgap": 0.06,
        "xaxis": {"automargin": True, "type": "category", "showgrid": False, "ticks": ""}
        | ({"title": {"text": title}} if title else {}),
        "yaxis": {"tickformat": ".1~%", "title": {"text": "share of the split"}},
        "legend": LEGEND,
    }
