"""One search by the command line, from start to exit, as a row of plain values."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autopeft.api.opening import DEMO_SECONDS
from autopeft.api.result import RESULT, ChoiceRecord
from autopeft.config import duration
from autopeft.data.demo import DEMOS
from autopeft.search.other_tasks import tasks_of
from autopeft.store import RunFolder
from autopeft.tasks.metric import METRICS
from benchmarks.demo.process import watch

RECORDED = {"demo": "movie_sentences"}
"""What the data of a demo is called as a task."""


def searched(
    data: str, folder: Path, *, seed: int, time_limit: str | None, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Run ``autopeft search`` and return what it took and what it found.

    A run that failed has its last lines under ``error``, and no scores.

    Args:
        data: whatever the command takes.
        folder: of the run; must be new.
        seed: of the run.
        time_limit: as the command takes it; None leaves the command its own.
        options: further options of the command.
    """
    command = [sys.executable, "-m", "autopeft.cli", "search", data, "-o", str(folder)]
    command += ["--seed", str(seed), *options]
    command += [] if time_limit is None else ["--time-limit", time_limit]
    seen = watch(command)
    row: dict[str, Any] = {
        "data": data,
        "options": list(options),
        "seed": seed,
        "limit_seconds": limit_of(data, time_limit, options),
        "wall_seconds": seen.wall_seconds,
        "peak_pss_bytes": seen.peak_pss_bytes,
        "peak_rss_bytes": seen.peak_rss_bytes,
        "memory_samples": seen.samples,
    }
    if seen.exit_code:
        return {**row, "error": f"exit status {seen.exit_code}\n{seen.last_lines}"}
    return {**row, **_found(folder)}


def left_out(data: str) -> list[str]:
    """Return the options with which a search knows nothing of its data from what is shipped.

    Args:
        data: as the command takes it, or the name of a task.
    """
    task = RECORDED.get(data, data)
    return ["--leave-out", task] if task in tasks_of() else []


def limit_of(data: str, time_limit: str | None, options: Sequence[str] = ()) -> float | None:
    """Return the limit in seconds that a search has: the given one, or the demo's own."""
    if time_limit is not None:
        return duration(time_limit)
    return DEMO_SECONDS if data in DEMOS and "--trials" not in options else None


def _found(path: Path) -> dict[str, Any]:
    """Return the choice of a finished run, what stands beside it, and its own clock."""
    with RunFolder.read(path) as folder:
        choice = ChoiceRecord.from_json(folder.read_json(RESULT)["choice"])
        trials = folder.trials(higher_is_better=METRICS.get(choice.metric).higher_is_better)
        clock = trials.study.user_attrs.get("seconds")
        states = Counter(record.state.value for record in trials.records())
    beside = {row.origin: row for row in choice.finalists if row.origin in ("default", "head")}
    return {
        "clock_seconds": clock,
        "trials": dict(sorted(states.items())),
        "seeds_of_finalists": [row.seeds for row in choice.finalists],
        "method": choice.method,
        "chosen": choice.label,
        "metric": choice.metric,
        "trainable_params": choice.trainable_params,
        "default_params": beside["default"].trainable_params if "default" in beside else None,
        "selection_score": choice.selection_score,
        "test": {
            "chosen": choice.test_scores[choice.metric],
            **{name: row.test_score for name, row in sorted(beside.items())},
            "untrained": choice.untrained_test_score,
        },
        "reason": choice.reason,
    }
