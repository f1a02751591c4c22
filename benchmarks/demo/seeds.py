"""The demo under several seeds: scores beside the default and the head, time, memory.

    python -m benchmarks.demo.seeds
    python -m benchmarks.demo.seeds --data demo:bbc

Each seed is a search by the command line in a process of its own, one after the other, and is added
to the result at once; a seed that is there already is skipped unless --again is given. Options that
are not known here go to ``autopeft search``. Where what is shipped was recorded on the same data,
that data is left out of it.

The seed draws the sample, the splits, the search and the trainings, the same for all that is
compared, so differences are taken seed by seed. Time is the whole process from start to exit, and
the run's own clock. Memory is the highest sum over all processes of the search at a time.
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
from benchmarks.demo.searched import left_out, limit_of, searched
from benchmarks.spread import paired, plus_minus, spread

FILE = ledger.RESULTS / "demo-seeds.json"

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Run the seeds that are missing, print the table of all, return its rows."""
    options, passed_on = _parser().parse_known_args(arguments)
    passed_on += left_out(options.data)
    limit = limit_of(options.data, options.time_limit, passed_on)
    wanted = {"data": options.data, "options": passed_on, "limit_seconds": limit}
    for seed in options.seeds:
        if options.again or seed not in _latest(options.result, wanted):
            with tempfile.TemporaryDirectory() as folder:
                row = searched(
                    options.data,
                    Path(folder) / "run",
                    seed=seed,
                    time_limit=options.time_limit,
                    options=passed_on,
                )
            ledger.append(options.result, row)
            print(f"seed {seed}: {row.get('error') or row['reason']}", flush=True)
    rows = [row for seed, row in _latest(options.result, wanted).items() if seed in options.seeds]
    _show(rows)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="demo", help="demo, demo:bbc or a file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--time-limit", help="default: the demo's own")
    parser.add_argument("--again", action="store_true", help="run seeds that are there already")
    parser.add_argument("--result", type=Path, default=FILE, help="file that runs are added to")
    return parser


def _latest(file: Path, wanted: Row) -> dict[int, Row]:
    """Return the last run of every seed that came to its end, by seed."""
    runs = [row for row in ledger.read(file) if "error" not in row]
    fitting = [row for row in runs if wanted.items() <= row.items()]
    return dict(sorted({row["seed"]: row for row in fitting}.items()))


def summary(rows: Sequence[Row]) -> dict[str, str]:
    """Return means ± standard deviations, and paired differences ± standard errors, as text."""
    scores = {
        name: [row["test"][name] for row in rows]
        for name in ("chosen", "default", "head", "untrained")
        if all(row["test"].get(name) is not None for row in rows)
    }
    found = {
        f"test {name} (± sd)": plus_minus(spread(values)["mean"] or 0.0, spread(values)["sd"])
        for name, values in scores.items()
    }
    for other in ("default", "head"):
        if other in scores:
            ahead = paired(scores["chosen"], scores[other])
            found[f"chosen − {other} (± se)"] = plus_minus(
                ahead["mean"] or 0.0, ahead["standard_error"]
            )
    found["most memory"] = f"{max(row['peak_pss_bytes'] for row in rows) / 1e9:.2f} GB"
    over = [_over(row) for row in rows if row["limit_seconds"]]
    if over:
        found["furthest over the limit"] = f"{max(over):+.1f} %"
    return found


def _over(row: Row) -> float:
    """Return by how much the whole process went over the limit, in percent."""
    return 100 * (row["wall_seconds"] / row["limit_seconds"] - 1)


def _show(rows: Sequence[Row]) -> None:
    shown = [
        {
            "name": f"seed {row['seed']}",
            "chosen": row["chosen"],
            "parameters": row["trainable_params"],
            "default has": row["default_params"],
            **{f"test {name}": row["test"].get(name) for name in ("chosen", "default", "head")},
            "untrained": row["test"]["untrained"],
            "seconds": round(row["wall_seconds"], 1),
            "own clock": row["clock_seconds"] and round(row["clock_seconds"], 1),
            "over %": round(_over(row), 1) if row["limit_seconds"] else None,
            "GB": round(row["peak_pss_bytes"] / 1e9, 2),
        }
        for row in rows
    ]
    table.show(shown, "table", Console(width=160))
    for name, value in (summary(rows) if rows else {}).items():
        print(f"{name:<26} {value}")


if __name__ == "__main__":
    main()
