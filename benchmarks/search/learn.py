"""Learn from the whole table what is shipped: what its candidates gained on every task.

    python -m benchmarks.search.learn

Writes ``autopeft/search/other_tasks.json``, with the digest of each task's table and the commit; a
search makes its portfolio from it. A table that lacks a candidate is refused: a portfolio learnt
from what happens to be there would favour what is cheap. How well this does on a task that it was
not learnt on is what `benchmarks.search.compare` measures, learning anew for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autopeft.bench.circumstances import circumstances
from autopeft.search.other_tasks import FILE
from benchmarks.protocol import CELLS, EPOCHS, listed
from benchmarks.search.policies.learned import learn_gains
from benchmarks.search.recorded import Table, complete_tables
from benchmarks.table.candidates import SEEDS, TASKS

ALSO = {"mr": ("movie_sentences",)}
"""Other names of a task's data in suites."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=listed, default=TASKS)
    parser.add_argument("--recorded", type=int, default=len(SEEDS), help="least seeds of a row")
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the recorded trainings")
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    tables = complete_tables(options, options.tasks)
    values = learnt(tables, options.backbone)
    options.output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(values['candidates'])} candidates on {len(tables)} tasks")


def learnt(tables: Sequence[Table], backbone: str) -> dict[str, Any]:
    """Return what is written of the tables of tasks on a backbone."""
    return {
        "backbone": backbone,
        "tasks": {table.task: about(table) for table in tables},
        "candidates": [one.to_json() for one in learn_gains(tables)],
        "commit": circumstances()["commit"],
    }


def about(table: Table) -> dict[str, Any]:
    """Return what tells a task from others before anything is trained, and its table."""
    return {
        "also": ALSO.get(table.task, ()),
        "metric": table.metric,
        "classes": len(table.labels),
        "rows": {split: len(targets) for split, targets in table.targets.items()},
        "seeds": table.seeds,
        "table": table.digest,
    }


if __name__ == "__main__":
    main()
