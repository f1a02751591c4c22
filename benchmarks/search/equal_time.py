"""Real searches in equal time: ours, a hand-written one, and AutoPEFT's recipe.

    python -m benchmarks.search.equal_time --assets FOLDER

Two tasks that no table has, ten minutes each, three seeds, one search after the other. Ours is
``autopeft search`` with the default space, its clock from the start of the command to its end. The
peers are loops around transformers' Trainer with batches grouped by length, in bf16 unless the
processor only emulates it, timed from when everything is imported and tokenised to the end of the
search: what they deliver is the best epoch by the selection split, and testing it is not timed. The
test split is looked at once per search. Each search is kept as soon as it has ended, and the same
command goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
from benchmarks.speed.material import (
    add_search_options,
    kept_searches,
    save_splits,
    search_settings,
    write_folder,
)
from benchmarks.speed.peer import strongest
from benchmarks.speed.peer_search import ByHand, PeerSearch
from benchmarks.spread import plus_minus, spread

RESULT = ledger.RESULTS / "search-equal-time.json"
TASKS = ("tweet_irony", "tweet_offensive")
OURS = "autopeft"
PEERS = {"by hand": ByHand, "AutoPEFT's recipe": Paper}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Do the searches that are missing, keep each and return all."""
    options = _parser().parse_args(arguments)
    options.peer = strongest()
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    wanted = [(seed, search) for seed in range(options.seeds) for search in (OURS, *PEERS)]
    tasks = options.tasks.split(",")
    for task in tasks:
        known = {} if options.again else _known(options)
        missing = [one for one in wanted if (task, *one) not in known]
        if missing:
            _search(task, missing, options)
    found = _known(options)
    rows = [found[task, *one] for task in tasks for one in wanted]
    table.show(summary(rows), "table", Console(width=120))
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_search_options(parser, tasks=TASKS, result=RESULT)
    return parser


def _known(options: argparse.Namespace) -> dict[tuple[str, int, str], dict[str, Any]]:
    """Return the last search of each task, seed and name that had the same settings."""
    kept = kept_searches(options)
    return {(row["task"], row["seed"], row["search"]): row for row in kept}


def _search(task: str, wanted: Iterable[tuple[int, str]], options: argparse.Namespace) -> None:
    """Do searches on a task, each named by its seed and who searches, and keep each."""
    model, data = options.model or str(demo_model()), str(options.assets / task)
    with tempfile.TemporaryDirectory() as folder:
        setting = save_splits(data, model, options.examples, 0, Path(folder), options.others)
        peers = {
            name: PeerSearch(setting, habit(setting), options.peer) for name, habit in PEERS.items()
        }
        for seed, search in wanted:
            row = {
                "benchmark": "equal time",
                "settings": search_settings(options),
                "task": task,
                "seed": seed,
                "search": search,
                **(
                    _theirs(peers[search], seed, options.seconds)
                    if search in peers
                    else _ours(setting, seed, options.seconds)
                ),
            }
            ledger.append(options.result, row)
            print(json.dumps(row), flush=True)


def _theirs(search: PeerSearch, seed: int, seconds: float) -> dict[str, Any]:
    progress, kept = search.run(seed, seconds)
    return {
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
