"""What was estimated before a training against what it took: memory and time.

    python -m benchmarks.demo.estimates
    python -m benchmarks.demo.estimates --data demo:bbc --methods lora,full

Every method trains its default candidate in a process of its own, as a search's worker would,
after the estimates that ``--dry-run`` shows and that budgets are held to. Memory is the highest
resident memory of the process while it trains; time is the training's, evaluations included.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.api.estimate import estimate_bytes, expected_seconds
from autopeft.data.demo import demo_model
from autopeft.methods import METHODS
from autopeft.methods.adapt import with_defaults
from autopeft.records import BackboneShape, Candidate
from autopeft.report import table
from autopeft.search.load import load_space
from benchmarks import ledger
from benchmarks.speed.material import save_splits

FILE = ledger.RESULTS / "demo-estimates.json"
METHOD_NAMES = ("lora", "unipelt", "houlsby", "ia3", "head_only", "dora", "full")
MEMORY_TOLERANCE, TIME_TOLERANCE = 0.15, 0.30


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train each method, keep and print the result, return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="demo")
    parser.add_argument("--methods", default=",".join(METHOD_NAMES))
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--examples", type=int, default=900, help="training rows")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--max-length", type=int, help="default: as the backbone allows")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    if options.one:
        return _in_this_process(json.loads(options.one))
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        setting = save_splits(options.data, model, options.examples, 0, Path(folder))
        if options.max_length:
            setting = dataclasses.replace(setting, max_length=options.max_length)
        orders = [
            {"setting": dataclasses.asdict(setting), "method": method, "epochs": options.epochs}
            for method in options.methods.split(",")
        ]
        rows = [_in_its_own_process(order) for order in orders]
    settings = {name: v for name, v in vars(options).items() if name not in ("result", "one")}
    result = {"benchmark": "estimates", "settings": settings, "rows": rows}
    ledger.append(options.result, result)
    table.show([_shown(row) for row in rows], "table", Console())
    print(f"kept in {options.result}")
    return result


def _in_its_own_process(order: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.demo.estimates", "--one", json.dumps(order)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _in_this_process(order: dict[str, Any]) -> dict[str, Any]:
    """Estimate, train, and print both as a line of JSON."""
    from autopeft.errors import TrialError
    from autopeft.train.costs import PeakMemory
    from autopeft.train.session import open_session

    session, about = open_session(order["setting"])
    info = METHODS.get(order["method"])
    shape = BackboneShape.from_json(about["shape"])
    space = load_space("wide").restrict(shape=shape)
    rate, epochs = info.learning_rate.median, order["epochs"]
    candidate = with_defaults(info, Candidate(method=info.name, learning_rate=rate, epochs=epochs))
    row = {
        "method": info.name,
        "expected_bytes": estimate_bytes(candidate, space, about),
        "expected_seconds": expected_seconds(candidate, about),
        "plan": about["plan"],
    }
    with tempfile.TemporaryDirectory() as folder, PeakMemory(session.device) as memory:
        try:
            outcome = session.trial(candidate, seed=0, artifact=Path(folder) / "artifact")
        except TrialError as error:
            raise SystemExit(f"{info.name} failed: {error}") from error
    row["peak_bytes"] = memory.total_bytes
    row["train_seconds"] = outcome["costs"]["train_seconds"]
    print(json.dumps(row))
    return row


def _shown(row: dict[str, Any]) -> dict[str, object]:
    memory = row["expected_bytes"] / row["peak_bytes"] - 1
    time = row["expected_seconds"] / row["train_seconds"] - 1
    return {
        "name": row["method"],
        "memory, expected": f"{row['expected_bytes'] / 1e6:,.0f} MB",
        "seen": f"{row['peak_bytes'] / 1e6:,.0f} MB",
        "off": f"{memory:+.0%}" + ("" if abs(memory) <= MEMORY_TOLERANCE else " !"),
        "time, expected": f"{row['expected_seconds']:.1f} s",
        "took": f"{row['train_seconds']:.1f} s",
        "off by": f"{time:+.0%}" + ("" if abs(time) <= TIME_TOLERANCE else " !"),
    }


if __name__ == "__main__":
    main()
