"""What scoring a row takes, by how many tokens go through the backbone at once.

    python -m benchmarks.speed.evaluation
    python -m benchmarks.speed.evaluation --data FOLDER --model FOLDER

Large batches make large products, but what passes between them no longer fits the processor's
caches, and memory is asked for anew each time. The sizes take turns, with candidates on the
backbone in float32, as it is delivered; of a processor its own time counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
from rich.console import Console

from autopeft.backbone.load import Backbone
from autopeft.data.demo import demo_model
from autopeft.methods.adapt import adapt, private_copy
from autopeft.report import table
from autopeft.train.evaluate import pack_outputs
from autopeft.train.runner import Runner
from autopeft.train.session import Session
from autopeft.tuner import Pack
from benchmarks import ledger
from benchmarks.speed.contender import take_turns
from benchmarks.speed.laps import clock_of
from benchmarks.speed.material import default_lora, save_splits, with_rates
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-evaluation.json"
_TRAINING_ROWS = 100


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="demo", help="as of `autopeft search`")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pack", type=int, default=1, help="candidates of default LoRA in a pass")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    torch.set_num_threads(options.threads)
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        rows = options.rows
        setting = save_splits(options.data, model, _TRAINING_ROWS, 0, Path(folder), others=rows)
        session = Session(setting)
        runner = _runner(session.delivered, options.pack)
        taken = take_turns(
            {
                str(tokens): partial(_milliseconds, session, runner, tokens)
                for tokens in options.tokens
            },
            range(options.repeats + 1),
        )
    result = {
        "benchmark": "evaluation",
        "settings": {
            "data": Path(options.data).name,
            "model": Path(model).name,
            "rows": rows,
            "pack": options.pack,
            "tokens_per_row": float(session.selection.lengths.mean()),
            "threads": options.threads,
            "repeats": options.repeats,
        },
        "milliseconds": {tokens: spread(values[1:]) for tokens, values in taken.items()},
    }
    ledger.append(options.result, result)
    table.show(_rows(result["milliseconds"]), "table", Console(width=120))
    return result


def _runner(backbone: Backbone, size: int) -> Runner:
    """Return what runs so many candidates in one pass."""
    models = [
        adapt(backbone, candidate, seed=0, total_steps=1)
        for candidate in with_rates(default_lora(1), size)
    ]
    return Runner(models[0] if size == 1 else Pack(private_copy(backbone), models, backbone.heads))


def _milliseconds(session: Session, runner: Runner, tokens: int, _: int) -> float:
    """Return what a row takes for all candidates together, all of selection being scored."""
    clock = clock_of(session.device)
    began = clock()
    pack_outputs(
        runner,
        session.selection,
        padding=session.padding,
        device=session.device,
        max_tokens=tokens,
    )
    return 1_000 * (clock() - began) / len(session.selection.targets)


def _rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    fastest = min(one["median"] for one in found.values())
    return [
        {
            "tokens at once": tokens,
            "ms a row": one["median"],
            "lowest": one["low"],
            "highest": one["high"],
            "times the fastest": one["median"] / fastest,
        }
        for tokens, one in found.items()
    ]


if __name__ == "__main__":
    main()
