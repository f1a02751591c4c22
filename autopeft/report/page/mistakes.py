"""What the delivered model gets wrong on the test split."""

from __future__ import annotations

from collections.abc import Mapping

from autopeft.report.page.figure import HEATMAP, Figure, Table, inert_names
from autopeft.report.page.view import RunView
from autopeft.report.wording import figures

_MOST_ROWS = 40
_MOST_CLASSES = 30
_MOST_POINTS = 1500


def confusion_figure(view: RunView) -> Figure | None:
    """Return the confusion matrix, or true against predicted numbers; None before delivery."""
    if view.mistakes is None or not view.mistakes.rows:
        return None
    return _matrix(view) if view.mistakes.counts else _scatter(view)


def _matrix(view: RunView) -> Figure:
    assert view.mistakes is not None
    counts = view.mistakes.counts
    names = _named(view, counts)
    shown = names[:_MOST_CLASSES]
    marks = inert_names(shown, 30)
    totals = {name: sum(n for (true, _), n in counts.items() if true == name) for name in names}
    right = sum(number for (true, found), number in counts.items() if true == found)
    wrong = sorted(
        (item for item in counts.items() if item[0][0] != item[0][1]), key=lambda item: -item[1]
    )
    worst = (
        f" The most frequent mistake is {wrong[0][0][0]} taken for {wrong[0][0][1]}: "
        f"{wrong[0][1]} times."
        if wrong
        else ""
    )
    cut = "" if len(shown) == len(names) else f" The {len(shown)} most frequent classes are drawn."
    return Figure(
        name="confusion",
        title="Confusion matrix",
        summary=f"{right:,} of {view.mistakes.rows:,} test rows are right.{worst}{cut}",
        data=[
            {
                **HEATMAP,
                "x": marks,
                "y": marks[::-1],
                "z": [[_share(counts, totals, t, p) for p in shown] for t in shown[::-1]],
                "text": [[str(counts.get((t, p), 0)) for p in shown] for t in shown[::-1]],
                "texttemplate": "%{text}" if len(shown) <= 12 else "",
                "hovertemplate": (
                    "%{y} taken for %{x}: %{text} rows, %{z:.0%} of its class<extra></extra>"
                ),
                "zmin": 0,
                "zmax": 1,
            }
        ],
        layout={
            "xaxis": {"title": {"text": "predicted"}, "automargin": True, "showgrid": False}
            | {"type": "category", "ticks": ""},
            "yaxis": {"title": {"text": "true"}, "automargin": True, "showgrid": False}
            | {"type": "category", "ticks": ""},
        },
        table=Table(
            caption="Test rows by true and predicted class, the most frequent mistakes first",
            columns=["true", "predicted", "rows", "share of the class"],
            rows=[
                [t, p, f"{number:,}", f"{number / totals[t]:.1%}"]
                for (t, p), number in [
                    *wrong[:_MOST_ROWS],
                    *(item for item in counts.items() if item[0][0] == item[0][1]),
                ]
            ],
            numeric=frozenset({2, 3}),
        ),
        height=max(300, 130 + (44 if len(shown) <= 12 else 22) * len(shown)),
    )


def _named(view: RunView, counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the classes in their order, or where there are many the most frequent first."""
    found = {name for pair in counts for name in pair}
    names = [*(n for n in view.labels if n in found), *sorted(found - set(view.labels))]
    if len(names) <= _MOST_CLASSES:
        return names
    often = {name: sum(n for pair, n in counts.items() if name in pair) for name in names}
    return sorted(names, key=lambda name: -often[name])


def _share(
    counts: Mapping[tuple[str, str], int], totals: Mapping[str, int], true: str, predicted: str
) -> float:
    return counts.get((true, predicted), 0) / max(1, totals[true])


def _scatter(view: RunView) -> Figure:
    assert view.mistakes is not None
    pairs = list(view.mistakes.pairs)
    step = max(1, len(pairs) // _MOST_POINTS)
    drawn = pairs[::step]
    low = min(min(pair) for pair in pairs)
    high = max(max(pair) for pair in pairs)
    mean = sum(abs(true - found) for true, found in pairs) / len(pairs)
    return Figure(
        name="confusion",
        title="True and predicted",
        summary=f"{len(pairs):,} test rows; a prediction is off by {figures(mean, 3)} on average.",
        data=[
            {
                "type": "scatter",
                "mode": "lines",
                "x": [low, high],
                "y": [low, high],
                "line": {"color": "@faint", "width": 1.5},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": [true for true, _ in drawn],
                "y": [found for _, found in drawn],
                "marker": {"color": "@accent", "size": 6, "opacity": 0.6},
                "hovertemplate": "true %{x:,.4~r}, predicted %{y:,.4~r}<extra></extra>",
            },
        ],
        layout={
            "xaxis": {"title": {"text": "true"}},
            "yaxis": {"title": {"text": "predicted"}},
            "showlegend": False,
            "hovermode": "closest",
        },
        table=_deciles(pairs),
    )


def _deciles(pairs: list[tuple[float, float]]) -> Table:
    """Return the mean error in ten ranges of the true number."""
    ordered = sorted(pairs)
    step = max(1, -(-len(ordered) // 10))
    groups = [ordered[start : start + step] for start in range(0, len(ordered), step)]
    return Table(
        caption="Mean true and predicted number of ten groups of rows, by the true one",
        columns=["true from", "to", "rows", "mean true", "mean predicted"],
        rows=[
            [
                figures(group[0][0], 4),
                figures(group[-1][0], 4),
                f"{len(group):,}",
                figures(sum(true for true, _ in group) / len(group), 4),
                figures(sum(found for _, found in group) / len(group), 4),
            ]
            for group in groups
        ],
        numeric=frozenset(range(5)),
    )
