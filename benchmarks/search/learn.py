"""Learn from the whole table what is shipped: a portfolio, and priors of learning rates.

    python -m benchmarks.search.learn

Writes ``autopeft/search/portfolio.json`` with the tasks that it was learnt on and their features,
the digest of each task's table, and the commit. No feature is used yet: every task counts alike. A
table that lacks a training is refused: a portfolio learnt from what happens to be there would
favour what is cheap. How well this does on a task that it was not learnt on is what
`benchmarks.search.compare` measures, learning anew for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autopeft.bench.circumstances import circumstances
from autopeft.search.portfolio import LEARNT
from benchmarks.protocol import CELLS, EPOCHS, file_of, listed
from benchmarks.search.policies.learned import PLACES, learn
from benchmarks.search.recorded import Table, read_table
from benchmarks.table.candidates import SEEDS, TASKS


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=listed, default=TASKS)
    parser.add_argument("--places", type=int, default=PLACES, help="most candidates")
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the recorded trainings")
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--output", type=Path, default=LEARNT)
    options = parser.parse_args(arguments)
    tables = [
        read_table(file_of(options, task), seeds=len(SEEDS), epochs=options.epochs, drawn=True)
        for task in options.tasks
    ]
    values = shipped(tables, options.backbone, options.places)
    options.output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(values['portfolio'])} candidates from {len(tables)} tasks")


def shipped(tables: Sequence[Table], backbone: str, places: int = PLACES) -> dict[str, Any]:
    """Return what is written.

    Raises:
        SystemExit: a table is not complete.
    """
    lacking = [table.task for table in tables if not table.complete]
    if lacking:
        raise SystemExit(
            f"not all trainings of {', '.join(lacking)} are recorded; go on with: "
            "python -m benchmarks.table.record --assets FOLDER"
        )
    learnt = learn(tables, places).to_json()
    return {
        "backbone": backbone,
        "tasks": {table.task: features(table) for table in tables},
        "portfolio": learnt["portfolio"],
        "learning_rates": learnt["learning_rates"],
        "commit": circumstances()["commit"],
    }


def features(table: Table) -> dict[str, Any]:
    """Return what tells a task from others before anything is trained, and its table's digest."""
    return {
        "metric": table.metric,
        "classes": len(table.labels),
        "rows": {split: len(targets) for split, targets in table.targets.items()},
        "table": table.digest,
    }


if __name__ == "__main__":
    main()
