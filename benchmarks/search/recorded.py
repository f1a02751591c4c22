"""The table of one task: every candidate's trainings as they were recorded.

See `benchmarks.table` for how it is made.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autopeft.api.estimate import expected_seconds
from autopeft.bench.cells import Cell, Cells
from autopeft.bench.rows import unpacked
from autopeft.methods.hardening import Means
from autopeft.records import Candidate, fingerprint
from autopeft.search.front import gain, size
from autopeft.search.portfolio import references
from autopeft.search.rungs import rungs_of
from autopeft.search.space import Space
from autopeft.tasks.metric import METRICS
from benchmarks.protocol import CELLS, file_of, listed
from benchmarks.table.backbone import Backbone
from benchmarks.table.candidates import BATCH_SIZE, SEEDS, TASKS, candidates, table_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of a candidate.

    Args:
        seed: it was trained with.
        curve: the score on the selection split after each epoch; empty if it failed.
        score: with the weights that would be delivered; None if it failed.
        test: the score on the test split; None if it failed.
        predicted: per split, packed predictions; see `autopeft.bench.rows.unpacked`.
        gates: mean of each gate over the selection rows, by layer and part; None without gates.
    """

    seed: int
    curve: tuple[float, ...] = ()
    score: float | None = None
    test: float | None = None
    predicted: Mapping[str, str] | None = None
    gates: Means | None = None

    def predictions(self, split: str) -> np.ndarray:
        """Return the predictions (N,) on a split."""
        assert self.predicted is not None
        return unpacked(self.predicted[split])


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate of the table.

    Args:
        candidate: what was trained.
        trainable_params: without the head.
        trainings: one per recorded seed.
        artifact_bytes: size of its adapter; None if it failed.
    """

    candidate: Candidate
    trainable_params: int
    trainings: tuple[Training, ...]
    artifact_bytes: int | None = None

    @cached_property
    def size(self) -> float:
        """``log10(1 + trained parameters)``."""
        return size(self.trainable_params)

    @cached_property
    def complete(self) -> tuple[Training, ...]:
        """The trainings that came to their end."""
        return tuple(one for one in self.trainings if one.score is not None)

    @cached_property
    def score(self) -> float | None:
        """Mean selection score over the seeds; None if any of them failed."""
        return self._mean([one.score for one in self.trainings])

    @cached_property
    def test(self) -> float | None:
        """Mean test score over the seeds; None if any of them failed."""
        return self._mean([one.test for one in self.trainings])

    @staticmethod
    def _mean(scores: list[float | None]) -> float | None:
        found = [score for score in scores if score is not None]
        return statistics.fmean(found) if len(found) == len(scores) else None


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one task on one backbone.

    Args:
        task: its name in results.
        metric: what scores are of.
        labels: class names; empty for numbers.
        targets: of the selection and the test split.
        backbone: what was adapted.
        rows: by fingerprint of their candidate, so that their order is not that of training.
        epochs: of every training.
        train_rows: it is trained on.
        seeds: of those asked for, if every candidate of the table is recorded under all of them;
            otherwise 0.
    """

    task: str
    metric: str
    labels: tuple[str, ...]
    targets: Mapping[str, np.ndarray]
    backbone: Backbone
    rows: tuple[Row, ...]
    epochs: int
    train_rows: int
    seeds: int = 0

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change with any recorded score."""
        return fingerprint(
            [
                [
                    row.candidate.fingerprint,
                    *((one.seed, one.score, one.test) for one in row.trainings),
                ]
                for row in self.rows
            ]
        )

    @property
    def higher_is_better(self) -> bool:
        """The metric's direction."""
        return METRICS.get(self.metric).higher_is_better

    def gain(self, score: float | None) -> float:
        """Return a score so that more is better."""
        return gain(score, self.higher_is_better)

    @cached_property
    def space(self) -> Space:
        """What searches of this table may propose."""
        return table_space(self.backbone, self.epochs)

    @cached_property
    def default_space(self) -> Space:
        """The program's default space, with the training settings of the table."""
        return table_space(self.backbone, self.epochs, name="default")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which the program compares trainings on so many rows, the last included.

        Each rung is moved to the end of its epoch: that is where curves are known.
        """
        shares = rungs_of(self.space.least_steps(self.train_rows))
        return tuple(sorted({math.ceil(share * self.epochs) for share in shares}))

    @cached_property
    def by_fingerprint(self) -> Mapping[str, Row]:
        """The rows by the fingerprint of their candidate."""
        return {row.candidate.fingerprint: row for row in self.rows}

    def price(self, candidate: Candidate) -> float:
        """Return what a training should take, as a multiple of the default's.

        It is estimated as the program does, and not what was recorded: that comes from more than
        one machine.
        """
        return self._seconds(candidate) / self._default_seconds

    @cached_property
    def compute(self) -> float:
        """What training every row takes, in epochs of the default."""
        return round(self.epochs * sum(self.price(row.candidate) for row in self.rows), 1)

    @cached_property
    def _default_seconds(self) -> float:
        return self._seconds(references(self.space)["default"])

    def _seconds(self, candidate: Candidate) -> float:
        return expected_seconds(candidate, self._pace)

    @cached_property
    def _pace(self) -> Mapping[str, Any]:
        rows = self.train_rows, len(self.targets["selection"])
        return {
            "shape": self.backbone.shape.to_json(),
            "rows": rows,
            "row_seconds": 1.0,
            "scoring_seconds": 0.4,
        }


def add_table_options(parser: argparse.ArgumentParser, result: Path) -> None:
    """Add the options of a command that looks at tables and keeps what it finds in a file."""
    parser.add_argument("--tasks", type=listed, default=TASKS)
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--recorded", type=int, default=len(SEEDS), help="least seeds of a row")
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--result", type=Path, default=result, metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print what was found last")


def tables_of(options: argparse.Namespace) -> list[Table]:
    """Read the tables that the options of `add_table_options` name, as far as there are any."""
    files = [file_of(options, task) for task in options.tasks]
    return [read_table(file, seeds=options.recorded) for file in files if file.is_file()]


def complete_tables(options: argparse.Namespace, tasks: Iterable[str]) -> list[Table]:
    """Read the tables of tasks as they were drawn.

    Args:
        options: those of `file_of`, and of `recorded` seeds and `epochs`.
        tasks: by name.

    Raises:
        SystemExit: a training is not recorded.
    """
    tables, lacking = list[Table](), list[str]()
    for task in tasks:
        file = file_of(options, task)
        if file.is_file():
            tables.append(
                read_table(file, seeds=options.recorded, epochs=options.epochs, drawn=True)
            )
        if not file.is_file() or not tables[-1].seeds:
            lacking.append(task)
    if lacking:
        raise SystemExit(
            f"not all trainings of {', '.join(lacking)} are recorded; --recorded 1 asks for those "
            "of one seed; go on with: python -m benchmarks.table.record --assets FOLDER"
        )
    return tables


def read_table(file: Path, *, seeds: int = 1, epochs: int = 5, drawn: bool = False) -> Table:
    """Read a task's table from its cells; the backbone is read from the same folder.

    Args:
        file: of the cells.
        seeds: a candidate with fewer trainings is left out.
        epochs: cells of longer or shorter trainings are left out.
        drawn: whether only the table's own candidates are read, the same on every task, and only
            their first `seeds`, not what suites have trained on the same rows.
    """
    cells = Cells(file)
    backbone = Backbone.read(file.parent)
    every = candidates(backbone, epochs)
    own = {(one.fingerprint, seed) for one in every for seed in SEEDS[:seeds]}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell, line in cells:
        alike = cell.candidate.epochs == epochs and cell.candidate.batch_size == BATCH_SIZE
        if alike and (not drawn or (cell.candidate.fingerprint, cell.seed) in own):
            found[cell.candidate.fingerprint].append(line)
    space, metric = table_space(backbone, epochs), cells.about["metric"]
    complete = all(
        cells.get(Cell(one, seed)) is not None for one in every for seed in SEEDS[:seeds]
    )
    return Table(
        task=cells.about["task"],
        metric=metric,
        labels=tuple(cells.about["labels"]),
        targets={name: unpacked(text) for name, text in cells.about["targets"].items()},
        backbone=backbone,
        epochs=epochs,
        train_rows=cells.about["rows"]["train"],
        seeds=len(SEEDS[:seeds]) if complete else 0,
        rows=tuple(
            _row(lines, metric, space.count(Candidate.from_json(lines[0]["candidate"])))
            for _, lines in sorted(found.items())
            if len(lines) >= seeds
        ),
    )


def _row(lines: list[dict[str, Any]], metric: str, trainable_params: int) -> Row:
    costs: dict[str, Any] = next(
        (line["costs"] for line in lines if line["state"] == "complete"), {}
    )
    return Row(
        candidate=Candidate.from_json(lines[0]["candidate"]),
        trainable_params=costs.get("trainable_params", trainable_params),
        artifact_bytes=costs.get("artifact_bytes"),
        trainings=tuple(
            _training(line, metric) for line in sorted(lines, key=lambda line: line["seed"])
        ),
    )


def _training(line: Mapping[str, Any], metric: str) -> Training:
    if line["state"] != "complete":
        return Training(seed=line["seed"])
    return Training(
        seed=line["seed"],
        curve=tuple(line["curve"]),
        score=line["selection"][metric],
        test=line["test"][metric],
        predicted=line["predicted"],
        gates={(gate["layer"], gate["part"]): gate["mean"] for gate in line.get("gates", ())}
        or None,
    )
