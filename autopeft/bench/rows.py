"""The rows that every cell of a task is trained and tested on."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.bench.suite import Block, Suite
from autopeft.data.demo import DEMOS, demo_source
from autopeft.data.load import load
from autopeft.data.split import sample
from autopeft.tasks.prepare import prepare
from autopeft.tasks.problem import Problem, infer

if TYPE_CHECKING:
    from datasets import Dataset

SEED = 0
"""Of samples and splits: all cells of a task see the same rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A task's rows.

    Args:
        task: the name that the task goes by in results.
        problem: what is to be learned.
        digest: of the whole data set that they were taken from.
        splits: ``train``, ``selection`` and ``test``.
    """

    task: str
    problem: Problem
    digest: str
    splits: Mapping[str, Dataset]

    def save(self, folder: Path) -> None:
        """Write a folder per split."""
        for name, dataset in self.splits.items():
            dataset.save_to_disk(str(folder / name))

    def about(self) -> dict[str, Any]:
        """Return plain values that tell these rows from others, and their targets."""
        return {
            "task": self.task,
            "problem": self.problem.task,
            "metric": self.problem.metric,
            "labels": list(self.problem.labels),
            "data": self.digest,
            "rows": {name: len(dataset) for name, dataset in self.splits.items()},
            "targets": {
                name: packed(np.asarray(self.splits[name]["label"][:]))
                for name in ("selection", "test")
            },
        }


def take(
    task: str,
    data: str,
    *,
    examples: int | None,
    selection: int | None,
    test: int | None,
    seed: int = SEED,
) -> Rows:
    """Take samples of a data set, stratified by class; of a smaller split, all rows.

    Args:
        task: its name in results.
        data: ``demo``, ``demo:bbc``, a file, or a folder with a file per split.
        examples: rows to train on; None takes all, as of the other splits.
        selection: rows to select by.
        test: rows to test on.
        seed: of samples and splits.

    Raises:
        DataError: it cannot be read or used.
    """
    source = demo_source(data, seed) if data in DEMOS else load(data)
    problem = infer(source)
    prepared = prepare(source, problem, seed=seed)
    wanted = {"train": examples, "selection": selection, "test": test}
    return Rows(
        task=task,
        problem=problem,
        digest=source.digest,
        splits={
            name: rows if size is None else sample(rows, size, "label", seed)
            for name, size in wanted.items()
            for rows in [getattr(prepared, name)]
        },
    )


def rows_of(suite: Suite, block: Block, data: str) -> Rows:
    """Take the rows of a block from its data.

    Raises:
        DataError: it cannot be read or used.
    """
    return take(
        block.task,
        data,
        examples=block.examples,
        selection=suite.selection,
        test=suite.test,
    )


def packed(values: np.ndarray) -> str:
    """Return predictions or targets (N,) as text: class numbers whole, numbers to three digits.

    Numbers too large for that have seven.

    >>> unpacked(packed(np.array([0, 2, 1])))
    array([0, 2, 1], dtype=uint8)
    """
    whole = "uint8" if values.max(initial=0) < 256 else "uint16"
    short = bool(np.abs(values).max(initial=0) <= np.finfo(np.float16).max)
    kind = ("float16" if short else "float32") if values.dtype.kind == "f" else whole
    return kind + ":" + base64.b64encode(values.astype(kind).tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """Return what `packed` made a text of."""
    kind, _, values = text.partition(":")
    return np.frombuffer(base64.b64decode(values), dtype=kind)
