"""What rounded lengths save where a processor trains a pack of different methods in bf16.

    python -m benchmarks.speed.padding
    python -m benchmarks.speed.padding --data FOLDER --methods lora,ia3

The products of every member have shapes of their own, once more for every length of text, and code
is generated for each; see `autopeft.train.padding`. With and without rounding, and with a larger
store of what was generated, take turns, each in a fresh process that has generated nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.report import table
from autopeft.train.costs import PeakMemory
from autopeft.train.precision import Plan
from autopeft.train.session import Session, Setting
from benchmarks import ledger
from benchmarks.protocol import listed
from benchmarks.speed.alone import alone
from benchmarks.speed.contender import take_turns
from benchmarks.speed.material import by_default, save_splits
from benchmarks.speed.ours import ours
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-padding.json"
METHODS = ("lora", "houlsby", "prefix", "unipelt", "compacter", "kadaptation", "ia3", "tarp")
_OTHERS = 100
_USUAL = "exact lengths"
_STORE = 20_000
"""Products whose code a larger store holds, in place of 1,024."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="demo", help="as of `autopeft search`")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--methods", type=listed, default=METHODS)
    parser.add_argument("--examples", type=int, default=300, help="training rows")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    model = options.model or str(demo_model())
    plan = Plan(dtype="bfloat16", attention="eager", threads=options.threads).to_json()
    with tempfile.TemporaryDirectory() as folder:
        setting = save_splits(
            options.data, model, options.examples, 0, Path(folder), others=_OTHERS
        )
        setting = dataclasses.replace(setting, plan=plan, threads=options.threads)
        train = partial(alone, _train, setting, options.methods, options.epochs)
        runs = take_turns(
            {
                _USUAL: partial(train, False, None),
                "rounded": partial(train, True, None),
                "rounded, large store": partial(train, True, _STORE),
            },
            range(options.repeats),
        )
    seconds = {name: [run["train_seconds"] for run in done] for name, done in runs.items()}
    result = {
        "benchmark": "padding",
        "settings": {
            "data": Path(options.data).name,
            "model": Path(model).name,
            "methods": list(options.methods),
            "examples": options.examples,
            "epochs": options.epochs,
            "threads": options.threads,
            "repeats": options.repeats,
            "lengths": runs[_USUAL][0]["lengths"],
        },
        "runs": runs,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "speed": {
            name: spread([usual / one for usual, one in zip(seconds[_USUAL], values, strict=True)])
            for name, values in seconds.items()
        },
    }
    ledger.append(options.result, result)
    table.show(_rows(result), "table", Console(width=120))
    return result


def _train(
    setting: Setting,
    methods: Sequence[str],
    epochs: int,
    rounded: bool,
    store: int | None,
    seed: int,
) -> dict[str, Any]:
    if store is not None:
        os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = str(store)
    datasets.disable_progress_bars()
    session = Session(setting)
    session.padding = dataclasses.replace(session.padding, rounded=rounded)
    train = ours(session, *(by_default(name, epochs) for name in methods))
    with PeakMemory(session.device) as memory:
        outcome = train(seed)
    return {
        "train_seconds": outcome.train_seconds,
        "peak_bytes": memory.extra_bytes,
        "lengths": [int(session.train.lengths.min()), int(session.train.lengths.max())],
    }


def _rows(result: Mapping[str, Any]) -> list[dict[str, object]]:
    return [
        {
            "padding": name,
            "seconds": result["seconds"][name]["median"],
            "lowest": result["seconds"][name]["low"],
            "highest": result["seconds"][name]["high"],
            "times as fast": result["speed"][name]["median"],
            "MB": round(max(run["peak_bytes"] for run in runs) / 1e6),
        }
        for name, runs in result["runs"].items()
    ]


if __name__ == "__main__":
    main()
