"""How well ``--time-limit`` is held, delivery and process start included.

    python -m benchmarks.demo.time_limit

Runs the demo by the command line under every limit and reports by how many percent the whole
process, from start to exit, and the run's own clock went over (below zero: time left unused).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from autopeft.report import table
from benchmarks import ledger
from benchmarks.demo.searched import searched

FILE = ledger.RESULTS / "demo-time-limit.json"


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run every limit as often as asked, keep and print the rows, return them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="demo", help="demo, demo:bbc or a file")
    parser.add_argument("--limits", nargs="+", default=["60s", "90s", "180s"])
    parser.add_argument("--repeats", type=int, default=1, help="runs per limit, seeds 0, 1 …")
    parser.add_argument("--result", type=Path, default=FILE, help="file that runs are added to")
    options, passed_on = parser.parse_known_args(arguments)
    rows = []
    for seed in range(options.repeats):
        for limit in options.limits:
            rows.append(_run(options.data, limit, seed, passed_on))
            ledger.append(options.result, rows[-1])
    _show(rows)
    return rows


def _run(data: str, limit: str, seed: int, options: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        row = searched(data, run, seed=seed, time_limit=limit, options=options)
    clock = row.get("clock_seconds")
    seconds = row["limit_seconds"]
    row["over_percent"] = 100 * (row["wall_seconds"] / seconds - 1)
    row["clock_over_percent"] = None if clock is None else 100 * (clock / seconds - 1)
    return row


def _show(rows: Sequence[dict[str, Any]]) -> None:
    shown = [
        {
            "name": f"{row['limit_seconds']:.0f} s, seed {row['seed']}",
            "seconds": round(row["wall_seconds"], 1),
            "over %": round(row["over_percent"], 1),
            "own clock": row.get("clock_seconds"),
            "own clock over %": row["clock_over_percent"],
            "trials": sum(row.get("trials", {}).values()),
            "error": row.get("error"),
        }
        for row in rows
    ]
    table.show(shown, "table", Console(width=120))


if __name__ == "__main__":
    main()
