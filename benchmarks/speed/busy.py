"""Training beside other busy processes: the measured number of threads against one per core.

    GOMP_SPINCOUNT=2000 python -m benchmarks.speed.busy

The variable is what a search gives its training processes. For none, one and as many busy processes
as there are cores, a session is opened as a search does, which measures pack size and threads; then
packs of the default LoRA train with either number of threads, in turns. On a quiet machine the two
should be the same. Each busy process multiplies matrices in one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.machine import cores
from autopeft.report import table
from autopeft.train.session import Session, Setting
from benchmarks import ledger
from benchmarks.speed.contender import Contender, Outcome, take_turns
from benchmarks.speed.material import default_lora, save_splits, with_rates
from benchmarks.speed.ours import ours
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-busy.json"
_BUSY = "import torch; torch.set_num_threads(1); a = torch.randn(512, 512)\nwhile True: a @ a"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--others", type=int, nargs="+", default=[0, 1, cores()])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--examples", type=int, default=160, help="training rows")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    model = options.model or str(demo_model())
    found = []
    with tempfile.TemporaryDirectory() as folder:
        setting = save_splits(options.data, model, options.examples, 0, Path(folder), others=64)
        for others in options.others:
            with _busy(others):
                found.append({"others": others, **_measured(setting, options.repeats)})
    result = {
        "benchmark": "busy",
        "settings": {
            "repeats": options.repeats,
            "examples": options.examples,
            "data": Path(options.data).name,
            "model": Path(model).name,
            "gomp_spincount": os.environ.get("GOMP_SPINCOUNT"),
        },
        "found": found,
    }
    ledger.append(options.result, result)
    table.show([_row(one) for one in found], "table", Console(width=120))
    print(f"kept in {options.result}")
    return result


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep so many processes busy."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _measured(setting: Setting, repeats: int) -> dict[str, Any]:
    """Open a session and train with as many threads as it measured, and with all, in turns."""
    most = min(cores(), torch.get_num_threads())
    session = Session(setting)
    measured = session.plan.threads or most
    train = ours(session, *with_rates(default_lora(1), session.plan.pack))
    contenders = {"all": _with_threads(most, train), "measured": _with_threads(measured, train)}
    runs = take_turns(contenders, range(repeats + 1))
    torch.set_num_threads(most)
    seconds = {name: [run.train_seconds for run in done[1:]] for name, done in runs.items()}
    return {
        "opening_seconds": session.probe.seconds,
        "plan": session.plan.to_json(),
        "threads": {"all": most, "measured": measured},
        "train_seconds": seconds,
        "times_faster": spread([a / b for a, b in zip(*seconds.values(), strict=True)]),
    }


def _with_threads(count: int, contender: Contender) -> Contender:
    def train(seed: int) -> Outcome:
        torch.set_num_threads(count)
        return contender(seed)

    return train


def _row(one: dict[str, Any]) -> dict[str, object]:
    ratio = one["times_faster"]
    return {
        "others": one["others"],
        "pack": one["plan"]["pack"],
        "threads": f"{one['threads']['measured']} of {one['threads']['all']}",
        "times faster": f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})",
        "opening, s": one["opening_seconds"],
    }


if __name__ == "__main__":
    main()
