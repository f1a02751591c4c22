"""What the trained weights cost in a step beside the products with the frozen ones.

    python -m benchmarks.speed.updates

Three ways take turns: AdamW operation by operation; torch's fused one, which goes once over the
memory; and that with the weights and gradients of a pack held in one tensor each, as candidates are
trained. Full fine-tuning shows the first two where there are many weights. Packs of LoRA on a
backbone as deep and a twelfth as wide show all three where there are many small ones and little
else to do, as on a GPU, where launches take the time.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import torch
from rich.console import Console
from transformers import AutoConfig, AutoModel, AutoTokenizer

from autopeft.backbone.quiet import quiet
from autopeft.data.demo import demo_model
from autopeft.records import Candidate
from autopeft.report import table
from autopeft.train import member
from autopeft.train.fit import Watch
from autopeft.train.runner import Runner
from autopeft.train.session import Order, Session
from benchmarks import ledger
from benchmarks.speed.contender import take_turns
from benchmarks.speed.laps import clock_of
from benchmarks.speed.material import default_lora, save_splits, with_rates
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-updates.json"
NARROW = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
WAYS = ("plain", "fused", "held")
_OTHERS = 16


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32], help="LoRA in a pass")
    parser.add_argument("--examples", type=int, default=160, help="training rows")
    parser.add_argument("--data", default="demo", help="as of `autopeft search`")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    model = options.model or str(demo_model())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        narrow = _narrow(model, place / "narrow")
        whole = _Steps(options, model, place / "whole")
        small = _Steps(options, narrow, place / "small")
        full = [Candidate(method="full", learning_rate=1e-4, epochs=1)]
        works = {"full fine-tuning": (whole, full, WAYS[:2])} | {
            f"{size} LoRA, narrow": (small, with_rates(default_lora(1), size), WAYS)
            for size in options.sizes
        }
        found = {name: _turns(*work, options.repeats) for name, work in works.items()}
    settings = {"repeats": options.repeats, "examples": options.examples}
    named = {"model": Path(options.model).name} if options.model else {}
    result = {"benchmark": "updates", "settings": settings | named, "milliseconds": found}
    ledger.append(options.result, result)
    table.show(_rows(found), "table", Console(width=120))
    return result


def _narrow(model: str, folder: Path) -> str:
    """Save a backbone of the same kind and depth with few and random weights."""
    with quiet():
        config = AutoConfig.from_pretrained(model, **NARROW)
        AutoModel.from_config(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


class _Steps:
    """Trains candidates on one backbone and tells what a step took.

    Args:
        options: of the benchmark.
        model: folder of the backbone.
        folder: for the rows and what is trained.
    """

    def __init__(self, options: argparse.Namespace, model: str, folder: Path) -> None:
        rows = options.examples
        setting = save_splits(options.data, model, rows, 0, folder / "rows", others=_OTHERS)
        self._session, self._folder = Session(setting), folder
        self._now = clock_of(self._session.device)

    def __call__(self, candidates: Sequence[Candidate]) -> float:
        """Return the median of a step, in milliseconds: of the processor's time, if it trains."""
        ticks: list[float] = []
        orders = [
            Order(candidate=candidate, artifact=self._folder / str(number))
            for number, candidate in enumerate(candidates)
        ]
        watch = Watch(on_step=lambda *_: ticks.append(self._now()))
        self._session.pack(orders, seed=0, watch=watch, ended=lambda *_: None)
        steps = [after - before for before, after in itertools.pairwise(ticks)]
        return 1_000 * statistics.median(steps)


def _turns(
    steps: _Steps, candidates: Sequence[Candidate], ways: Sequence[str], repeats: int
) -> dict[str, Any]:
    """Return the milliseconds of a step each way, after a turn that warms up."""

    def train(way: str, _: int) -> float:
        with _way(way):
            return steps(candidates)

    taken = take_turns({way: partial(train, way) for way in ways}, range(repeats + 1))
    return {way: spread(values[1:]) for way, values in taken.items()}


@contextlib.contextmanager
def _way(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as changed:
        if name == "plain":
            changed.enter_context(patch.object(member, "FUSED", ()))
        if name != "held":
            changed.enter_context(patch.object(Runner, "hold", lambda _: None))
        yield


def _rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    return [
        {
            "work": work,
            "way": way,
            "ms a step": one["median"],
            "lowest": one["low"],
            "highest": one["high"],
            "times as fast as plain": ways["plain"]["median"] / one["median"],
        }
        for work, ways in found.items()
        for way, one in ways.items()
    ]


if __name__ == "__main__":
    main()
