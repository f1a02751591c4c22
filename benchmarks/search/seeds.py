"""What further seeds are worth: against further candidates, and to pick what is delivered.

    python -m benchmarks.search.seeds

From the cells of the boards: every method at its best learning rate under three seeds, without
the head alone. So many of them are drawn, and so many seeds of each; chosen is the highest mean
score on selection. What that loses is told on test, over all three seeds, against the best of all;
a training that failed counts as 0. And of each candidate: how the test score of the training that
is the best on selection, or the median, compares with the mean of its seeds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from autopeft.report import table
from autopeft.search.portfolio import HEAD_METHOD
from benchmarks import ledger
from benchmarks.protocol import CELLS
from benchmarks.search.recorded import Table, read_table

FILE = ledger.RESULTS / "search-seeds.json"

BOARDS = {  # a file of cells: epochs
    **{f"{task}-100": 20 for task in ("subj", "tweet_emotion", "sts15")},
    **{f"{task}-500": 10 for task in ("subj", "tweet_emotion", "sts15")},
    **dict.fromkeys(("mr", "mpqa", "sts15", "tweet_emotion"), 5),
    **dict.fromkeys(("tweet_irony", "tweet_offensive"), 5),
}
SEEDS = 3
DRAWS = 2_000

PLACES = {"higher of two": (2, -1), "best of three": (3, -1), "median of three": (3, 1)}
"""How many seeds, and which of them in ascending order of their selection scores."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the simulation, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--trainings", type=int, nargs="+", default=[4, 6, 8, 10, 12])
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    folder = options.cells / options.backbone
    scores = {
        name: scores_of(read_table(folder / f"{name}.jsonl", seeds=SEEDS, epochs=epochs))
        for name, epochs in BOARDS.items()
    }
    plans = [
        (trainings // seeds, seeds)
        for trainings in options.trainings
        for seeds in range(1, SEEDS + 1)
        if trainings % seeds == 0 and trainings // seeds > 1
    ]
    result = {
        "benchmark": "seeds",
        "settings": {"backbone": options.backbone, "tasks": list(BOARDS), "draws": DRAWS},
        "lost_points": [
            {
                "candidates": candidates,
                "seeds": seeds,
                "by_task": {
                    name: round(100 * lost(*both, candidates, seeds), 2)
                    for name, both in scores.items()
                },
            }
            for candidates, seeds in plans
        ],
        "ahead_of_mean_points": {
            name: {
                name_of: round(100 * ahead(*both, seeds, place), 2)
                for name_of, (seeds, place) in PLACES.items()
            }
            for name, both in scores.items()
        },
    }
    ledger.append(options.result, result)
    show(result)
    return result


def scores_of(task: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the gains on selection and on test, each (M, `SEEDS`), of M candidates."""
    rows = [row for row in task.rows if row.candidate.method != HEAD_METHOD]

    def gains(scores: Sequence[float | None]) -> list[float]:
        return [0.0 if score is None else task.gain(score) for score in scores[:SEEDS]]

    selection = [gains([one.score for one in row.trainings]) for row in rows]
    test = [gains([one.test for one in row.trainings]) for row in rows]
    return np.array(selection), np.array(test)


def lost(selection: np.ndarray, test: np.ndarray, candidates: int, seeds: int) -> float:
    """Return how far the choice is below the best of all on average, in units of the metric.

    Args:
        selection: gains (M, S) of M candidates under S seeds.
        test: the same on test.
        candidates: to draw, at most M.
        seeds: of each, at most S.
    """
    generator = np.random.default_rng(0)
    known = test.mean(axis=1)
    found = []
    for _ in range(DRAWS):
        drawn = generator.permutation(len(known))[:candidates]
        shuffled = generator.permuted(selection[drawn], axis=1)[:, :seeds]
        found.append(known[drawn[shuffled.mean(axis=1).argmax()]])
    return float(known.max() - np.mean(found))


def ahead(selection: np.ndarray, test: np.ndarray, seeds: int, place: int = -1) -> float:
    """Return how far the training of a place by selection is ahead on test, in units of the metric.

    Args:
        selection: gains (M, S) of M candidates under S seeds.
        test: the same on test; ahead of the mean of all seeds.
        seeds: of each, that it is picked from: every choice of so many counts alike.
        place: in ascending order of their selection scores.
    """
    found = []
    for some in itertools.combinations(range(selection.shape[1]), seeds):
        picked = selection[:, some].argsort(axis=1, kind="stable")[:, [place]]
        found.append(np.take_along_axis(test[:, some], picked, axis=1)[:, 0] - test.mean(axis=1))
    return float(np.mean(found))


def show(result: Mapping[str, Any]) -> None:
    """Print the means over the tasks."""
    rows = [
        {
            "trainings": plan["candidates"] * plan["seeds"],
            "candidates": plan["candidates"],
            "seeds": plan["seeds"],
            "points lost on test": round(float(np.mean(list(plan["by_task"].values()))), 2),
        }
        for plan in result["lost_points"]
    ]
    table.show(rows, "table", Console())
    found = list(result["ahead_of_mean_points"].values())
    for place in found[0]:
        points = statistics.fmean(task[place] for task in found)
        Console().print(f"{place}: {points:+.2f} points ahead of the mean of the seeds on test")


if __name__ == "__main__":
    main()
