"""How long our search takes to be as good as ten minutes of a hand-written one.

    python -m benchmarks.speed.race --assets FOLDER

Per task and seed: the peer (`benchmarks.speed.peer_search`: Optuna around transformers' Trainer
with batches grouped by length, in bf16 unless the processor only emulates it) searches for ten
minutes; then ``autopeft search`` gets the same rows, the same seconds and the default space, and is
ended as soon as its best selection score equals the peer's. Of what is shipped, ours knows nothing
that was recorded on the task. The peer's clock starts with everything imported and tokenised, ours
with the start of the command. Each race is kept as soon as it has ended, and the same command goes
on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.api.interrupt import Interrupt
from autopeft.data.demo import demo_model
from autopeft.errors import RunFolderError
from autopeft.report import table
from autopeft.store import RunFolder
from autopeft.train.session import Setting
from benchmarks import ledger
from benchmarks.demo.searched import left_out
from benchmarks.speed.material import (
    add_search_options,
    kept_searches,
    save_splits,
    search_settings,
    write_folder,
)
from benchmarks.speed.peer import strongest
from benchmarks.speed.peer_search import ByHand, PeerSearch, Progress

FILE = ledger.RESULTS / "speed-race.json"
TASKS = ("subj", "tweet_emotion")
DEMO_MODEL = "MiniLM"
_LOOK_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run the races that are missing, keep each and return all."""
    options = _parser().parse_args(arguments)
    options.peer = strongest()
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    tasks, seeds = options.tasks.split(","), range(options.seeds)
    for task in tasks:
        missing = [seed for seed in seeds if options.again or (task, seed) not in _known(options)]
        if missing:
            _races(task, missing, options)
    races = [race for who, race in _known(options).items() if who[0] in tasks and who[1] in seeds]
    table.show([_row(race) for race in races], "table", Console(width=120))
    return races


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_search_options(parser, tasks=TASKS, result=FILE)
    return parser


def _known(options: argparse.Namespace) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the last race of each task and seed that was run with the same settings."""
    kept = latest(kept_searches(options))
    return {(task, seed): race for (_, task, seed), race in kept.items()}


def latest(races: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Return the last race of each backbone, task and seed."""
    return {
        (race["settings"].get("model", DEMO_MODEL), race["task"], race["seed"]): dict(race)
        for race in races
    }


def _races(task: str, seeds: Sequence[int], options: argparse.Namespace) -> None:
    model, data = options.model or str(demo_model()), str(options.assets / task)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        setting = save_splits(data, model, options.examples, 0, place, options.others)
        for seed in seeds:
            race = {
                "benchmark": "race",
                "settings": search_settings(options),
                "task": task,
                "seed": seed,
                **_race(task, setting, seed, options),
            }
            ledger.append(options.result, race)
            print(json.dumps(_row(race)), flush=True)


def _race(task: str, setting: Setting, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    search = PeerSearch(setting, ByHand(setting), options.peer)
    peer, _ = search.run(seed, options.seconds)
    ours = our_search(task, setting, seed, options.seconds, peer.score)
    reached = ours.best[-1][0] if ours.best and ours.score >= peer.score else None
    return {
        "peer": asdict(peer),
        "ours": asdict(ours),
        "seconds": reached,
        "share": None if reached is None else reached / options.seconds,
    }


def our_search(task: str, setting: Setting, seed: int, seconds: float, goal: float) -> Progress:
    """Search by the command line until the goal or the end, and return what was reached when.

    A signal ends the command too.
    """
    with Interrupt(), tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        write_folder(setting, data)
        command = [sys.executable, "-m", "autopeft.cli", "search", str(data), "-o", str(run)]
        command += ["--model", setting.model, "--time-limit", f"{seconds:.0f}s"]
        command += ["--seed", str(seed), "--metric", setting.metric, *left_out(task)]
        progress, began = Progress(), time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            while process.poll() is None:
                time.sleep(_LOOK_SECONDS)
                _look(run, progress, time.monotonic() - began)
                if progress.best and progress.score >= goal:
                    break
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
    if not progress.best:
        raise RuntimeError(f"the search reached nothing:\n{said.decode(errors='replace')}")
    return progress


def _look(run: Path, progress: Progress, seconds: float) -> None:
    """Note the best score so far: of any trial at a rung, or of what it kept in the end.

    What is kept are the weights of the best epoch, which need not be one with a rung.
    """
    try:
        with RunFolder.read(run) as folder:
            records = folder.trials(higher_is_better=True).records()
    except RunFolderError:  # not begun yet
        return
    progress.trials = len(records)
    for record in records:
        for score in (*(point.score for point in record.curve), record.score):
            if score is not None:
                progress.note(seconds, score)


def _row(race: dict[str, Any]) -> dict[str, Any]:
    peer, ours = race["peer"], race["ours"]
    return {
        "name": f"{race['task']} seed {race['seed']}",
        "peer's best": peer["best"][-1][1],
        "after s": round(peer["best"][-1][0], 1),
        "peer's trials": peer["trials"],
        "ours": ours["best"][-1][1],
        "after s ": round(ours["best"][-1][0], 1),
        "our trials": ours["trials"],
        "share of the peer's time": race["share"],
    }


def median_share(races: Sequence[dict[str, Any]]) -> float | None:
    """Return the median share of the peer's time, None where more than half missed the goal."""
    missed = 2.0
    middle = statistics.median(missed if r["share"] is None else r["share"] for r in races)
    return None if middle > 1 else middle


if __name__ == "__main__":
    main()
