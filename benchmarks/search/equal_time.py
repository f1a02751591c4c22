"""Real searches in equal time: ours, a hand-written one, and AutoPEFT's recipe.

    python -m benchmarks.search.equal_time --assets FOLDER

Two tasks that no table has, ten minutes each, three seeds, one search after the other. Ours is
``autopeft search`` with the default space, its clock from the start of the command to its end. The
peers are loops around transformers' Trainer with batches grouped by length, in bf16 unless the
processor only emulates it, timed from when everything is imported and tokenised to the end of the
search: what they deliver is the best epoch by the selection split, and testing it is not timed. The
test split is looked at once per search.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.report import table
from autopeft.train.session import Setting
from benchmarks import ledger
from benchmarks.demo.searched import searched
from benchmarks.search.peer_paper import Paper
from benchmarks.speed.material import add_search_options, save_splits, write_folder
from benchmarks.speed.peer import strongest
from benchmarks.speed.peer_search import ByHand, PeerSearch
from benchmarks.spread import plus_minus, spread

RESULT = ledger.RESULTS / "search-equal-time.json"
TASKS = ("tweet_irony", "tweet_offensive")
PEERS = {"by hand": ByHand, "AutoPEFT's recipe": Paper}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Search, keep the result and return it."""
    options = _parser().parse_args(arguments)
    settings = {n: v for n, v in vars(options).items() if n not in ("assets", "model", "result")}
    options.peer = settings["peer"] = strongest()
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    rows = []
    for row in _rows(options):
        rows.append(row)
        print(json.dumps(row), flush=True)
    result = {"benchmark": "equal time", "settings": settings, "rows": rows}
    ledger.append(options.result, result)
    table.show(summary(rows), "table", Console(width=120))
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_search_options(parser, tasks=TASKS, result=RESULT)
    return parser


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    model = options.model or str(demo_model())
    for task in options.tasks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            data = str(options.assets / task)
            place = Path(folder) / "splits"
            setting = save_splits(data, model, options.examples, 0, place, options.others)
            peers = {
                name: PeerSearch(setting, habit(setting), options.peer)
                for name, habit in PEERS.items()
            }
            for seed in range(options.seeds):
                yield {"task": task, "seed": seed, **_ours(setting, seed, options.seconds)}
                for name, search in peers.items():
                    progress, kept = search.run(seed, options.seconds)
                    yield {
                        "task": task,
                        "seed": seed,
                        "search": name,
                        "selection": progress.score,
                        "trials": progress.trials,
                        **search.tested(kept, seed),
                    }


def _ours(setting: Setting, seed: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_folder(setting, data)
        options = ["--model", setting.model, "--metric", setting.metric]
        row = searched(
            str(data),
            Path(folder) / "run",
            seed=seed,
            time_limit=f"{seconds:.0f}s",
            options=options,
        )
    if "error" in row:
        raise RuntimeError(row["error"])
    return {
        "search": "autopeft",
        "selection": row["selection_score"],
        "trials": sum(row["trials"].values()),
        "chosen": row["chosen"],
        "test": row["test"]["chosen"],
        "trainable_params": row["trainable_params"],
        "default": {"test": row["test"].get("default"), "trainable_params": row["default_params"]},
        "wall_seconds": row["wall_seconds"],
    }


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per task and search: means and standard deviations over the seeds."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["task"], row["search"]].append(row)
    return [
        {
            "name": f"{task}, {search}",
            "test": _told([one["test"] for one in alike]),
            "selection": _told([one["selection"] for one in alike]),
            "parameters": statistics.median(one["trainable_params"] for one in alike),
            "trials": statistics.median(one["trials"] for one in alike),
            "searches": len(alike),
        }
        for (task, search), alike in found.items()
    ]


def _told(scores: Sequence[float]) -> str:
    found = spread(scores)
    mean = found["mean"]
    assert mean is not None
    return plus_minus(mean, found["sd"], digits=3)


if __name__ == "__main__":
    main()
