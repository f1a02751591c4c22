"""What trainings on real tasks have in common, so that benchmarks share their cells with suites.

Rows, epochs and lengths are those that a suite has where it says nothing else. Every training is
one line of ``results/cells/BACKBONE/TASK.jsonl``, whoever asked for it, and not repeated.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets

from autopeft.bench.cells import Cell, Cells
from autopeft.bench.places import USUAL_EXAMPLES
from autopeft.bench.rows import take
from autopeft.bench.suite_check import SETTINGS
from autopeft.bench.training import Bench
from autopeft.data.demo import demo_model
from benchmarks import ledger

CELLS = ledger.RESULTS / "cells"
USUAL = {name: setting.default for name, setting in SETTINGS.items()}
EPOCHS: int = USUAL["epochs"]
MAX_LENGTH: int = USUAL["max_length"]


def add_options(parser: argparse.ArgumentParser, tasks: tuple[str, ...]) -> None:
    """Add the options that all these benchmarks have."""
    parser.add_argument("--assets", type=Path, help="folder with a folder per task")
    parser.add_argument("--tasks", type=listed, default=tasks)
    parser.add_argument("--model", help="folder of the backbone; default: the demo's MiniLM")
    parser.add_argument("--backbone", default="minilm-l6", help="its name in results")
    parser.add_argument("--examples", type=int, default=USUAL_EXAMPLES, help="training rows")
    for split in ("selection", "test"):
        about = SETTINGS[split].help
        parser.add_argument(f"--{split}", type=int, default=USUAL[split], help=about)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of the results")


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a text with commas."""
    return tuple(text.split(","))


def file_of(options: argparse.Namespace, task: str) -> Path:
    """Return where the cells of a task are kept."""
    folder: Path = options.cells
    return folder / options.backbone / f"{task}.jsonl"


@contextmanager
def opened(options: argparse.Namespace, task: str) -> Iterator[Bench]:
    """Open a task's rows and the backbone, in a folder that goes afterwards."""
    if options.assets is None:
        raise SystemExit("--assets: the folder that holds a folder per task")
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    rows = take(
        task,
        str(options.assets / task),
        examples=options.examples,
        selection=options.selection,
        test=options.test,
    )
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        file = file_of(options, task)
        yield Bench(rows, options.backbone, model, Path(folder), file, max_length=MAX_LENGTH)


def kept(options: argparse.Namespace, task: str) -> Cells:
    """Return the cells of a task that were trained so far."""
    return Cells(file_of(options, task))


def tell(cell: Cell, line: dict[str, Any]) -> None:
    """Print what came of a training."""
    said = line.get("message") or f"{line['curve'][-1]:.4f}"
    print(f"seed {cell.seed} {cell.candidate.describe()}: {said}", flush=True)
