"""What packs take of memory above the backbone, by their size.

    python -m benchmarks.speed.memory

Every pack of default LoRA trains a few steps of 16 texts of 32 tokens in a process of its own, so
that nothing an earlier one left behind is used again. Measured is the peak of resident memory (on a
GPU: of device memory) above what the process has with its backbone loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.report import table
from autopeft.train.costs import PeakMemory
from autopeft.train.session import Session, Setting
from benchmarks import ledger
from benchmarks.speed.alone import alone
from benchmarks.speed.material import (
    BATCH_SIZE,
    default_lora,
    lengthened,
    save_splits,
    with_rates,
)
from benchmarks.speed.ours import ours
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-memory.json"
TOKENS = 32
STEPS = 6


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        rows = STEPS * BATCH_SIZE
        short = save_splits(options.data, model, rows, 0, Path(folder) / "short", others=BATCH_SIZE)
        long = lengthened(short, TOKENS, Path(folder) / "long")
        setting = dataclasses.replace(long, max_length=TOKENS)
        plan = alone(_plan, setting)
        setting = dataclasses.replace(setting, plan=plan)
        found = [
            {"pack": size, "bytes": [alone(_peak, setting, size) for _ in range(options.repeats)]}
            for size in options.sizes
        ]
    result = {
        "benchmark": "memory",
        "settings": {
            "repeats": options.repeats,
            "data": Path(options.data).name,
            "model": Path(model).name,
            "batch_size": BATCH_SIZE,
            "tokens": TOKENS,
            "steps": STEPS,
        },
        "plan": plan,
        "found": [{**one, "summary": spread(one["bytes"])} for one in found],
    }
    ledger.append(options.result, result)
    table.show([_row(one) for one in result["found"]], "table", Console(width=120))
    print(f"kept in {options.result}")
    return result


def _plan(setting: Setting) -> dict[str, Any]:
    return Session(setting).plan.to_json()


def _peak(setting: Setting, size: int) -> int:
    datasets.disable_progress_bars()
    session = Session(setting)
    train = ours(session, *with_rates(default_lora(1), size))
    with PeakMemory(session.device) as memory:
        train(0)
    return memory.extra_bytes


def _row(one: dict[str, Any]) -> dict[str, object]:
    middle, low, high = (one["summary"][name] / 1e6 for name in ("median", "low", "high"))
    return {
        "pack": one["pack"],
        "MB above the backbone": f"{middle:.0f} ({low:.0f}–{high:.0f})",
        "MB per candidate": round(middle / one["pack"]),
    }


if __name__ == "__main__":
    main()
