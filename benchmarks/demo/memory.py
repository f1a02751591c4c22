"""Whether memory stays flat: worker and supervisor over hundreds of short trainings.

    python -m benchmarks.demo.memory

Searches with two epochs per candidate on 200 movie reviews, and looks at the memory that is a
process's own (USS) after every training. Reported are the slope of a straight line in bytes per
training, after the first fifth in which caches fill, and what it comes to over a hundred.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import psutil
from rich.console import Console

from autopeft.api import search
from autopeft.data.demo import demo_model, demo_source
from autopeft.data.split import sample
from autopeft.report import table
from autopeft.report.screen import SilentScreen
from benchmarks import ledger

FILE = ledger.RESULTS / "demo-memory.json"
SPACE = """
description: short trainings at high rates, every kind of adapter
epochs: 2
methods:
  ia3:
    learning_rate: {low: 1.0e-2, high: 1.0e-1, log: true}
  lora:
    r: [1, 2, 4, 8, 16]
    learning_rate: {low: 2.0e-3, high: 1.0e-2, log: true}
  dora:
    r: [2, 4]
    learning_rate: {low: 2.0e-3, high: 1.0e-2, log: true}
  vera:
    r: [64]
    learning_rate: {low: 1.0e-2, high: 1.0e-1, log: true}
  bitfit:
    learning_rate: {low: 2.0e-3, high: 2.0e-2, log: true}
  ln_tuning:
    learning_rate: {low: 2.0e-3, high: 2.0e-2, log: true}
  full:
    learning_rate: {low: 5.0e-5, high: 3.0e-4, log: true}
"""
"""Rates that teach something in so few steps: who predicts one class three times is given up."""


class Sampler(SilentScreen):
    """Looks at the memory of this process and of its largest child after every training."""

    def __init__(self) -> None:
        self.supervisor: list[int] = []
        self.worker: list[int] = []

    def done(self, number: int, line: str, seed: int | None = None) -> None:
        del number, line, seed
        process = psutil.Process()
        self.supervisor.append(own_bytes(process))
        self.worker.append(max(map(own_bytes, process.children()), default=0))


def own_bytes(process: psutil.Process) -> int:
    """Return the memory that would be free if the process ended; 0 once it is gone."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the search, keep and print the result, return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    sampler = Sampler()
    rows = sample(demo_source("demo", 0).splits["train"], options.rows, "label", 0)
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "space.yaml"
        space.write_text(SPACE, encoding="utf-8")
        search(
            (rows["text"][:], rows["label"][:]),
            screen=sampler,
            model=options.model or str(demo_model()),
            space=str(space),
            trials=options.trials,
            output=Path(folder) / "run",
        )
    processes = {"supervisor": sampler.supervisor, "worker": sampler.worker}
    result = {
        "trials": options.trials,
        "rows": options.rows,
        "trainings": len(sampler.worker),
        "summary": {name: growth(values) for name, values in processes.items()},
        "uss_bytes": processes,
    }
    ledger.append(options.result, result)
    table.show([{"name": n, **s} for n, s in result["summary"].items()], "table", Console())
    return result


def growth(values: Sequence[int]) -> dict[str, float]:
    """Return first, highest and last level and the slope per training, the first fifth left out."""
    settled = np.asarray(values[len(values) // 5 :], np.float64)
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0
    return {
        "first_mb": values[0] / 1e6,
        "highest_mb": max(values) / 1e6,
        "last_mb": values[-1] / 1e6,
        "kb_per_training": slope / 1e3,
        "mb_per_hundred": slope / 1e4,
    }


if __name__ == "__main__":
    main()
