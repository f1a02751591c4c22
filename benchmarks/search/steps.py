"""How many optimizer steps a training needs where there are few rows to train on.

    python -m benchmarks.search.steps --assets FOLDER

The same rows, candidates and seeds, trained for so many epochs that they have so many steps, each
with its own schedule; the score is that on selection, the best of its evaluations, as a search
takes it. Nothing is tested.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.errors import TrialError
from autopeft.train.session import Session
from benchmarks import ledger
from benchmarks.speed.material import BATCH_SIZE, by_default, save_splits

FILE = ledger.RESULTS / "search-steps.json"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--assets", type=Path, required=True, help="folder with a folder per task")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--tasks", nargs="+", default=["subj", "tweet_emotion", "sts15"])
    parser.add_argument("--methods", nargs="+", default=["lora", "ia3"])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--selection", type=int, default=300)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50, 75, 100, 150])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    torch.set_num_threads(options.threads)
    model = options.model or str(demo_model())
    lines = []
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            data = str(options.assets / task)
            setting = save_splits(
                data, model, options.rows, 0, Path(folder), others=options.selection
            )
            lines += _trained(task, Session(setting), Path(folder) / "trained", options)
    result = {
        "benchmark": "steps",
        "settings": {
            "model": Path(model).name,
            "rows": options.rows,
            "selection": options.selection,
            "batch_size": BATCH_SIZE,
            "threads": options.threads,
        },
        "trainings": lines,
    }
    ledger.append(options.result, result)
    return result


def _trained(
    task: str, session: Session, artifact: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    found = []
    per_epoch = -(-options.rows // BATCH_SIZE)
    every = itertools.product(options.methods, options.steps, options.seeds)
    for method, steps, seed in every:
        epochs = -(-steps // per_epoch)
        line = {"task": task, "method": method, "steps": epochs * per_epoch, "seed": seed}
        try:
            outcome = session.trial(by_default(method, epochs), seed=seed, artifact=artifact)
        except TrialError as error:
            line |= {"failed": error.cause}
        else:
            seconds = outcome["costs"]["train_seconds"]
            line |= {"score": outcome["score"], "seconds": round(seconds, 1)}
        Console().print(line)
        found.append(line)
    return found


if __name__ == "__main__":
    main()
