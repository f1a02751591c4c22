"""Gates by layer, for a mixture that ran: which of its parts count where."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.report.gates import Gate
from autopeft.report.page.figure import HEATMAP, Figure, Table, inert
from autopeft.report.page.view import RunView

_ROW_HEIGHT, _FRAME = 34, 130


def gates_figure(view: RunView) -> Figure | None:
    """Return the gates of the best mixture, or None where none ran."""
    sign = 1.0 if view.higher_is_better else -1.0
    scored = {r.number: sign * r.score for r in view.records if r.score is not None}
    numbers = [number for number in view.gates if number in scored and view.gates[number]]
    if not numbers:
        return None
    number = max(numbers, key=lambda number: scored[number])
    gates = view.gates[number]
    record = next(record for record in view.records if record.number == number)
    parts = list(dict.fromkeys(str(gate["part"]) for gate in gates))
    layers = sorted({int(str(gate["layer"])) for gate in gates})
    mean = {(int(str(g["layer"])), str(g["part"])): float(str(g["mean"])) for g in gates}
    text = [[_cell(mean.get((layer, part))) for part in parts] for layer in layers]
    return Figure(
        name="gates",
        title="Gates by layer",
        summary=(
            f"How far the gates of trial {number} ({record.candidate.describe()}) open on the "
            f"selection rows; 1 is open. {_widest(gates)} The highest layer is next to the head."
        ),
        data=[
            {
                **HEATMAP,
                "x": [inert(part.replace("_", " "), 40) for part in parts],
                "y": [f"layer {layer}" for layer in layers],
                "z": [[mean.get((layer, part)) for part in parts] for layer in layers],
                "text": text,
                "texttemplate": "%{text}",
                "hovertemplate": "%{x} in %{y}: %{z:.3f}<extra></extra>",
                "hoverongaps": False,
            }
        ],
        layout={
            "xaxis": {"showgrid": False, "side": "top", "ticks": ""},
            "yaxis": {"automargin": True, "showgrid": False, "ticks": ""},
        },
        table=Table(
            caption="Mean of each gate over the selection rows, and its spread",
            columns=["layer", "part", "mean", "spread"],
            rows=[
                [
                    str(gate["layer"]),
                    str(gate["part"]),
                    f"{float(str(gate['mean'])):.3f}",
                    f"{float(str(gate['spread'])):.3f}",
                ]
                for gate in gates
            ],
            numeric=frozenset({0, 2, 3}),
        ),
        height=_FRAME + _ROW_HEIGHT * len(layers),
    )


def _cell(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.2f}"


def _widest(gates: Sequence[Gate]) -> str:
    top = max(gates, key=lambda gate: float(str(gate["mean"])))
    return f"The widest open is {top['part']} in layer {top['layer']}."
