"""Every method on a few tasks: the best of three learning rates, over three seeds.

    python -m benchmarks.methods.compare --assets FOLDER
    python -m benchmarks.methods.compare --assets FOLDER --methods lora,unipelt --tasks subj
    python -m benchmarks.methods.compare --show

FOLDER holds a folder per task with its splits. A method trains on 1,000 rows with a third of its
prior's median rate, the median, and three times that, under seed 0; the rate that is best on the
selection split trains again under two more seeds; the test split is scored for these three alone,
after the choice. Every training is a line of the result as soon as it is done, and is not repeated.
Time is that of the processor, evaluation and saving included, so that it does not matter what else
the machine does during the hours that this takes.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.errors import TrialError
from autopeft.methods import METHODS, feasible_methods
from autopeft.methods.artifact import load_artifact
from autopeft.records import Candidate, Scalar
from autopeft.report import table
from autopeft.tasks.encode import encode
from autopeft.train.session import Session
from benchmarks import ledger
from benchmarks.methods.cells import Cell, Cells
from benchmarks.speed.material import save_splits

FILE = ledger.RESULTS / "methods.jsonl"
TASKS = ("subj", "tweet_emotion", "clinc150_small")
SEEDS = (0, 1, 2)
FACTORS = (1 / 3, 1.0, 3.0)
EPOCHS = 5
VARIANTS: dict[str, tuple[str, dict[str, Scalar]]] = {
    "unipelt_ungated": ("mixture", {"serial": 48, "prefix": 10, "lora": 8, "gates": "none"}),
}
"""Further rows: a method with knobs other than its defaults."""


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Train what is missing, print the table, return its rows."""
    options = _parser().parse_args(arguments)
    cells = Cells(options.result)
    if not options.show:
        if options.assets is None:
            raise SystemExit("--assets: the folder that holds a folder per task")
        datasets.disable_progress_bars()
        logging.getLogger("lightning").setLevel(logging.ERROR)
        for task in options.tasks:
            with tempfile.TemporaryDirectory() as folder:
                _compare(Bench(options.assets / task, Path(folder), options), options, cells)
    rows = rows_of(cells)
    table.show(rows, "table", Console(width=140))
    return rows


def _parser() -> argparse.ArgumentParser:
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--assets", type=Path, help="folder with a folder per task")
    parser.add_argument("--tasks", type=listed, default=TASKS)
    parser.add_argument("--methods", type=listed, help="default: all that can run")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--examples", type=int, default=1000, help="training rows")
    parser.add_argument("--others", type=int, default=500, help="selection and test rows, each")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--result", type=Path, default=FILE)
    parser.add_argument("--show", action="store_true", help="train nothing, show the table")
    return parser


class Bench:
    """One task's rows and one backbone, on which cells are trained.

    Args:
        data: folder of the task.
        folder: an empty folder.
        options: of the command line.
    """

    def __init__(self, data: Path, folder: Path, options: argparse.Namespace) -> None:
        model = options.model or str(demo_model())
        self.task, self.epochs, self._folder = data.name, options.epochs, folder
        setting = save_splits(str(data), model, options.examples, 0, folder, options.others)
        self.session = Session(setting)
        self._test = encode(
            datasets.load_from_disk(str(folder / "test")),
            self.session.delivered.tokenizer,
            max_length=self.session.setting.max_length,
        )

    def train(self, cell: Cell) -> dict[str, Any]:
        """Train a cell and return its line; a failure is a line too."""
        method, knobs = variant(cell.method)
        info = METHODS.get(method)
        candidate = Candidate(
            method=method,
            learning_rate=cell.rate,
            epochs=self.epochs,
            knobs={**{name: knob.default for name, knob in info.knobs.items()}, **knobs},
            placement=info.placement,
        )
        started = time.process_time()
        try:
            outcome = self.session.trial(candidate, seed=cell.seed, artifact=self._artifact(cell))
        except TrialError as error:
            return {"cause": error.cause, "message": str(error)[:200], **_where()}
        costs = outcome["costs"]
        return {
            "epochs": self.epochs,
            "selection": outcome["score"],
            "trainable_params": costs["trainable_params"],
            "artifact_bytes": costs["artifact_bytes"],
            "cpu_seconds": round(time.process_time() - started, 1),
            **_where(),
        }

    def test(self, cell: Cell) -> float | None:
        """Return the score of a trained cell on the test split, None if its weights are gone."""
        if not self._artifact(cell).is_dir():
            return None
        model = load_artifact(self.session.delivered, self._artifact(cell))
        scores = self.session.scores(
            self.session.outputs(model.to(self.session.device), self._test), self._test.targets
        )
        return scores[self.session.setting.metric]

    def forget(self) -> None:
        """Remove the weights of what was trained so far."""
        shutil.rmtree(self._folder / "trained", ignore_errors=True)

    def _artifact(self, cell: Cell) -> Path:
        name = f"{cell.method}-{cell.rate:.3g}-{cell.seed}".replace(":", "_").replace("+", "p")
        return self._folder / "trained" / name


def variant(name: str) -> tuple[str, dict[str, Scalar]]:
    """Return the method of a row, and the knobs that differ from its defaults."""
    return VARIANTS.get(name, (name, {}))


def _where() -> dict[str, Any]:
    now = ledger.circumstances()
    return {"date": now["date"], "commit": now["commit"]}


def _compare(bench: Bench, options: argparse.Namespace, cells: Cells) -> None:
    feasible, excluded = feasible_methods(
        bench.session.delivered.shape, int(bench.session.train.lengths.max())
    )
    listed = [name for name in (*feasible, *VARIANTS) if ":" not in name]
    for method in options.methods or listed:
        base = variant(method)[0]
        if base in excluded:
            print(f"{bench.task} {method}: left out, {excluded[base]}", flush=True)
            continue
        median = METHODS.get(base).learning_rate.median
        tried = [
            Cell(task=bench.task, method=method, rate=float(f"{median * f:.3g}"), seed=SEEDS[0])
            for f in FACTORS
        ]
        for cell in tried:
            _settle(bench, cell, cells)
        best = max(tried, key=lambda cell: _selection(cells, cell))
        final = [Cell(task=best.task, method=method, rate=best.rate, seed=seed) for seed in SEEDS]
        for cell in final:
            _settle(bench, cell, cells, tested=True)
        bench.forget()


def _settle(bench: Bench, cell: Cell, cells: Cells, *, tested: bool = False) -> None:
    """Train a cell that has no line yet, and score it on test if that is wanted and missing."""
    line = cells.get(cell)
    if line is None:
        line = bench.train(cell)
        cells.add(cell, line)
        print(
            f"{cell.task} {cell.method} {cell.rate:g} seed {cell.seed}: {_said(line)}", flush=True
        )
    if tested and "selection" in line and "test" not in line:
        score = bench.test(cell)
        if score is None:  # trained in an earlier sitting, which was cut before the choice
            line = bench.train(cell)
            score = bench.test(cell)
        if score is not None:
            cells.add(cell, {**line, "test": score})


def _said(line: dict[str, Any]) -> str:
    if "cause" in line:
        return f"{line['cause']}: {line['message']}"
    return f"{line['selection']:.4f} in {line['cpu_seconds']:.0f} s of a core"


def _selection(cells: Cells, cell: Cell) -> float:
    line = cells.get(cell) or {}
    return float(line.get("selection", -1.0))


def rows_of(cells: Cells) -> list[dict[str, Any]]:
    """Return a row per method and task: test score and spread of the best rate, prices."""
    groups: dict[tuple[str, str], list[tuple[Cell, dict[str, Any]]]] = {}
    for cell, line in cells:
        if "test" in line:
            groups.setdefault((cell.task, cell.method), []).append((cell, line))
    rows = []
    for (task, method), found in sorted(groups.items()):
        scores = [line["test"] for _, line in found]
        last = found[-1][1]
        rows.append(
            {
                "task": task,
                "name": method,
                "rate": found[-1][0].rate,
                "seeds": len(scores),
                "test": round(statistics.fmean(scores), 4),
                "sd": round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
                "selection": round(statistics.fmean(line["selection"] for _, line in found), 4),
                "trained": last["trainable_params"],
                "stored bytes": last["artifact_bytes"],
                "core seconds": round(statistics.median(line["cpu_seconds"] for _, line in found)),
            }
        )
    return sorted(rows, key=lambda row: (row["task"], -row["test"]))


if __name__ == "__main__":
    main()
