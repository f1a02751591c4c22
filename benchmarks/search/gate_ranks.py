"""Whether gates tell what is good alone: pairs of recorded trainings that they put in order.

    python -m benchmarks.search.gate_ranks          looks, prints and keeps it
    python -m benchmarks.search.gate_ranks --show   prints what was found last

Of UniPELT trained with its defaults, on every task: do the methods whose parts it holds open do
better alone (methods, with their defaults), and does a method do better in the layers where its
parts are open (places)? Told as the share of pairs in the order of the gates, beside the share in
the order of their sizes; a half says nothing. Pairs are of one task, of places also of one method;
a method counts by its best learning rate on the selection rows, with its mean test score.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from rich.console import Console

from autopeft.records import BackboneShape, layer_indices
from autopeft.report.table import show
from benchmarks import ledger
from benchmarks.search.policies.gates import Opened, gates_of, opened
from benchmarks.search.recorded import Row, Table, add_table_options, tables_of

RESULT = ledger.RESULTS / "search-gates.json"


class Ranked(NamedTuple):
    """What gates say of a row, and what came of it.

    Attributes:
        gate: mean of the gates of its parts.
        size: ``log10(1 + trained parameters)``.
        gain: mean test score, more is better.
    """

    gate: float
    size: float
    gain: float


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Look, keep and return what was found, or show what is kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_table_options(parser, RESULT)
    options = parser.parse_args(arguments)
    if not options.show:
        ledger.append(
            options.result,
            {"rows": [found for table in tables_of(options) for found in seen(table)]},
        )
    run = ledger.read(options.result)[-1]
    show(summary(run["rows"]), "table", Console(width=100))
    return run


def seen(table: Table) -> Iterator[dict[str, Any]]:
    """Yield a row per task and question: pairs, and how many are in the order of gates and sizes.

    Nothing where UniPELT was not recorded with its gates.
    """
    gates = _gates(table)
    if gates is None:
        return
    yield {"task": table.task, "question": "methods", **_pairs([_methods(table, gates)])}
    yield {"task": table.task, "question": "places", **_pairs(_places(table, gates))}


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per question, over all tasks."""
    by_question: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_question[row["question"]].append(row)
    return [
        {
            "question": question,
            "tasks": len(found),
            "pairs": (pairs := sum(row["pairs"] for row in found)),
            "by gates": _share(sum(row["by_gates"] for row in found), pairs),
            "by sizes": _share(sum(row["by_sizes"] for row in found), pairs),
        }
        for question, found in by_question.items()
    ]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _gates(table: Table) -> Opened | None:
    default = table.by_fingerprint.get(table.space.default_of("unipelt").fingerprint)
    means = None if default is None else gates_of(default)
    return None if means is None else opened(means)


def _methods(table: Table, gates: Opened) -> list[Ranked]:
    """Return the methods that gates speak of, everywhere and with default sizes."""
    found = []
    for method, by_layer in gates.items():
        default = table.space.default_of(method)
        alike = [
            row
            for row in table.rows
            if row.score is not None
            and row.candidate.method == method
            and (row.candidate.knobs, row.candidate.placement) == (default.knobs, default.placement)
        ]
        if alike:
            best = max(alike, key=lambda row: table.gain(row.score))
            found.append(
                Ranked(statistics.fmean(by_layer.values()), best.size, table.gain(best.test))
            )
    return found


def _places(table: Table, gates: Opened) -> list[list[Ranked]]:
    """Return by method all its rows, with the gates of their layers."""
    return [
        [
            Ranked(_gate_of(row, by_layer, table.backbone.shape), row.size, table.gain(row.test))
            for row in table.rows
            if row.candidate.method == method and row.test is not None
        ]
        for method, by_layer in gates.items()
    ]


def _gate_of(row: Row, by_layer: Mapping[int, float], shape: BackboneShape) -> float:
    rule = "all" if row.candidate.placement is None else row.candidate.placement.layers
    return statistics.fmean(by_layer[layer] for layer in layer_indices(rule, shape.layers))


def _pairs(groups: Iterable[Sequence[Ranked]]) -> dict[str, int]:
    """Count pairs within groups, and those that are in the order of gates and of sizes.

    A pair that is tied in what came of it is left out, one tied in the gate as well.
    """
    pairs = by_gates = by_sizes = 0
    for group in groups:
        for one, other in combinations(group, 2):
            if one.gain == other.gain or one.gate == other.gate:
                continue
            pairs += 1
            better = one.gain > other.gain
            by_gates += better == (one.gate > other.gate)
            by_sizes += better == (one.size > other.size)
    return {"pairs": pairs, "by_gates": by_gates, "by_sizes": by_sizes}


if __name__ == "__main__":
    main()
