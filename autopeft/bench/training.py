"""Trains cells: in packs where they can share a pass, each kept as soon as it has ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from autopeft.bench.cells import Cell, Cells
from autopeft.bench.circumstances import circumstances
from autopeft.bench.rows import Rows, packed
from autopeft.errors import TrialError
from autopeft.methods.packing import pack_key
from autopeft.train.attempt import Order, Outcome
from autopeft.train.session import Session, Setting

PACK = {"cpu": 8, "cuda": 32}
"""Cells in a pass, by device: a GPU needs more of them to be busy."""


class Bench:
    """One task's rows and one backbone, on which cells are trained.

    Args:
        rows: of the task.
        backbone: the name that the model goes by in results.
        model: folder or hub name of the backbone.
        folder: an empty folder.
        file: where results are kept; what it has is not trained again.
        max_length: longest input in tokens.

    Raises:
        ModelError: the backbone cannot be loaded.
        UsageError: the file has results of other rows or of another backbone.
    """

    def __init__(
        self, rows: Rows, backbone: str, model: str, folder: Path, file: Path, *, max_length: int
    ) -> None:
        about = {**rows.about(), "backbone": backbone, "max_length": max_length}
        self.cells = Cells(file, about)
        rows.save(folder)
        self._artifacts = folder / "trained"
        self.session = Session(
            Setting(
                data=str(folder),
                model=model,
                task=rows.problem.task,
                labels=rows.problem.labels,
                metric=rows.problem.metric,
                max_length=max_length,
                also=("test",),
                as_trained=True,
            )
        )

    def train(
        self,
        wanted: Iterable[Cell],
        told: Callable[[Cell, dict[str, Any]], None],
        *,
        again: bool = False,
    ) -> None:
        """Train the cells that have no line yet.

        Args:
            wanted: in any order.
            told: gets each cell with its line, once that is kept.
            again: train also what has one; the new line counts.
        """
        missing = [cell for cell in wanted if again or self.cells.get(cell) is None]
        for pack in packs(missing, self.session):
            self._train(pack, told)

    def _train(self, pack: Sequence[Cell], told: Callable[[Cell, dict[str, Any]], None]) -> None:
        began = time.process_time()
        lines: dict[int, dict[str, Any]] = {}

        def ended(number: int, outcome: Outcome) -> None:
            lines[number] = self._line(outcome, self._artifacts / str(number))

        epochs = pack[0].candidate.epochs
        evaluated = self.session.evaluated_epochs(epochs)
        self.session.pack(
            [
                Order(candidate=cell.candidate, artifact=self._artifacts / str(number))
                for number, cell in enumerate(pack)
            ],
            seed=pack[0].seed,
            rungs=tuple(epoch / epochs for epoch in evaluated),
            ended=ended,
        )
        share = round((time.process_time() - began) / len(pack), 1)
        now = circumstances()
        for number, cell in enumerate(pack):
            line = {**lines[number], "pack": len(pack), "cpu_seconds": share, **now}
            self.cells.add(cell, line)
            told(cell, line)
        shutil.rmtree(self._artifacts, ignore_errors=True)

    def _line(self, outcome: Outcome, artifact: Path) -> dict[str, Any]:
        """Return what is kept of a training; a failure is a result too."""
        if isinstance(outcome, TrialError):
            return {"state": "failed", "cause": outcome.cause, "message": str(outcome)[:200]}
        session, outputs = self.session, {}
        for split in session.evaluated:
            outputs[split] = np.load(artifact / f"{split}.npy", allow_pickle=False)
        return {
            "state": "complete",
            "dtype": session.plan.dtype,
            "curve": [round(point["score"], 5) for point in outcome["curve"]],
            **{
                split: session.scores(values, session.evaluated[split].targets)
                for split, values in outputs.items()
            },
            "costs": outcome["costs"],
            **({"gates": _rounded(outcome["gates"])} if outcome["gates"] else {}),
            "predicted": {
                split: packed(session.task.predictions(values)) for split, values in outputs.items()
            },
        }


def _rounded(gates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return gates by layer and part, to four digits."""
    return [
        {**gate, "mean": round(gate["mean"], 4), "spread": round(gate["spread"], 4)}
        for gate in gates
    ]


def packs(cells: Iterable[Cell], session: Session) -> Iterator[list[Cell]]:
    """Yield cells by passes: those of one seed, one number of epochs and one `pack_key`."""
    shape, most = session.delivered.shape, PACK[session.device.type]

    def together(cell: Cell) -> tuple[Any, ...]:
        key = pack_key(cell.candidate, shape)
        alone = cell.candidate.fingerprint if key is None else ""
        return cell.seed, cell.candidate.epochs, key or (), alone

    for _, found in groupby(sorted(cells, key=together), key=together):
        alike = list(found)
        yield from (alike[at : at + most] for at in range(0, len(alike), most))
