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

from autopeft.bench.cells import Cell
from autopeft.bench.places import USUAL_EXAMPLES, cells_name
from autopeft.bench.rows import take
from autopeft.bench.suite_check import SETTINGS
from autopeft.bench.training import Bench
from autopeft.data.demo import demo_model
from benchmarks import ledger

CELLS = ledger.RESULTS / "cells"
USUAL = {name: setting.default for name, setting in SETTINGS.items()}
EPOCHS: int = USUAL["epochs"]
MAX_LENGTH: int = USUAL["max_length"]

FEWER = dict.fromkeys(("subj", "tweet_emotion", "mr", "sts15"), 300)
"""Training rows of the tasks that have fewer than usual: tables are of different sizes, and long
texts would take most of the time. `--examples 1000` records the larger ones."""


def add_options(parser: argparse.ArgumentParser, tasks: tuple[str, ...]) -> None:
    """Add the options that all these benchmarks have."""
    parser.add_argument("--assets", type=Path, help="folder with a folder per task")
    parser.add_argument("--tasks", type=listed, default=tasks)
    parser.add_argument("--model", help="folder of the backbone; default: the demo's MiniLM")
    parser.add_argument("--backbone", default="minilm-l6", help="its name in results")
    about = f"training rows; default: {USUAL_EXAMPLES}, for some tasks {min(FEWER.values())}"
    parser.add_argument("--examples", type=int, help=about)
    for split in ("selection", "test"):
        about = SETTINGS[split].help
        parser.add_argument(f"--{split}", type=int, default=USUAL[split], help=about)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder of the results")


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a text with commas."""
    return tuple(text.split(","))


def file_of(options: argparse.Namespace, task: str) -> Path:
    """Return where the cells of a task are kept.

    Args:
        options: with the folder of all cells, the backbone, and the training rows if they are told.
        task: its name in results.
    """
    folder: Path = options.cells
    return folder / options.backbone / cells_name(task, _examples(options, task))


def examples_of(task: str) -> int:
    """Return the training rows of a task where nothing else is told."""
    return FEWER.get(task, USUAL_EXAMPLES)


def _examples(options: argparse.Namespace, task: str) -> int:
    told: int | None = getattr(options, "examples", None)
    return told or examples_of(task)


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
        examples=_examples(options, task),
        selection=options.selection,
        test=options.test,
    )
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        file = file_of(options, task)
        yield Bench(rows, options.backbone, model, Path(folder), file, max_length=MAX_LENGTH)


def tell(cell: Cell, line: dict[str, Any]) -> None:
    """Print what came of a training."""
    said = line.get("message") or f"{line['curve'][-1]:.4f}"
    print(f"seed {cell.seed} {cell.candidate.describe()}: {said}", flush=True)
