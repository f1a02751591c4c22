"""Every method on a few tasks: the best of three learning rates, over three seeds.

    python -m benchmarks.methods.compare --assets FOLDER
    python -m benchmarks.methods.compare --assets FOLDER --methods lora,unipelt --tasks subj
    python -m benchmarks.methods.compare --show

FOLDER holds a folder per task with its splits. A method trains with a third of its prior's median
rate, the median, and three times that, under seed 0; the rate that is best on the selection split
trains again under two more seeds. Choices look at the selection split alone; the table shows the
test scores of what was chosen. See `benchmarks.protocol` for what all trainings share.

Methods that can share a pass do, so seconds are a training's share of what its pass took of the
processor, with evaluation, saving and testing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from autopeft.bench.cells import Cell, Cells
from autopeft.methods import METHODS, feasible_methods
from autopeft.records import Candidate
from autopeft.report import table
from autopeft.tasks.metric import METRICS
from benchmarks.protocol import VARIANTS, add_options, at_rates, file_of, kept, listed, opened, tell

TASKS = ("subj", "tweet_emotion", "clinc150_small")
SEEDS = (0, 1, 2)


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Train what is missing, print the table, return its rows."""
    options = _parser().parse_args(arguments)
    names = options.methods or [info.name for info in METHODS if ":" not in info.name]
    names = [*names, *([] if options.methods else VARIANTS)]
    for task in () if options.show else options.tasks:
        _train(options, task, names)
    rows = [
        row
        for task in options.tasks
        if file_of(options, task).is_file()
        for row in rows_of(task, kept(options, task), names, options.epochs)
    ]
    table.show(rows, "table", Console(width=140))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, TASKS)
    parser.add_argument("--methods", type=listed, help="default: all that can run")
    parser.add_argument("--show", action="store_true", help="train nothing, show the table")
    return parser


def _train(options: argparse.Namespace, task: str, names: Sequence[str]) -> None:
    with opened(options, task) as bench:
        session = bench.session
        _, excluded = feasible_methods(session.delivered.shape, int(session.train.lengths.max()))
        tried = {}
        for name in names:
            candidates = at_rates(name, options.epochs)
            if candidates[0].method in excluded:
                print(f"{task} {name}: left out, {excluded[candidates[0].method]}", flush=True)
            else:
                tried[name] = candidates
        bench.train((Cell(c, SEEDS[0]) for found in tried.values() for c in found), tell)
        chosen = [best(bench.cells, candidates) for candidates in tried.values()]
        bench.train((Cell(c, seed) for c in chosen if c is not None for seed in SEEDS), tell)


def best(cells: Cells, candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the candidate with the best selection score under the first seed, if any has one."""
    scores = {}
    for number, candidate in enumerate(candidates):
        line = cells.get(Cell(candidate, SEEDS[0])) or {}
        if "selection" in line:
            scores[line["selection"][cells.about["metric"]], -number] = candidate
    if not scores:
        return None
    best_of = max if METRICS.get(cells.about["metric"]).higher_is_better else min
    return scores[best_of(scores)]


def rows_of(task: str, cells: Cells, names: Iterable[str], epochs: int) -> list[dict[str, Any]]:
    """Return a row per method: test score and spread of its best rate, and what it costs."""
    rows = []
    for name in names:
        chosen = best(cells, at_rates(name, epochs))
        if chosen is None:
            continue
        lines = [line for seed in SEEDS if (line := cells.get(Cell(chosen, seed)))]
        lines = [line for line in lines if "test" in line]
        rows.append(_row(task, name, chosen, lines, cells.about["metric"]))
    return sorted(rows, key=lambda row: -row["test"])


def _row(
    task: str, name: str, chosen: Candidate, lines: Sequence[dict[str, Any]], metric: str
) -> dict[str, Any]:
    scores = [line["test"][metric] for line in lines]
    costs = lines[-1]["costs"]
    return {
        "name": name,
        "task": task,
        "metric": metric,
        "rate": chosen.learning_rate,
        "seeds": len(lines),
        "test": round(statistics.fmean(scores), 4),
        "sd": round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
        "selection": round(statistics.fmean(line["selection"][metric] for line in lines), 4),
        "trained": costs["trainable_params"],
        "stored bytes": costs["artifact_bytes"],
        "core seconds": round(statistics.median(line["cpu_seconds"] for line in lines), 1),
    }


if __name__ == "__main__":
    main()
