"""What a candidate is chosen by: its own score, or that with what else is known of it.

    python -m benchmarks.search.evidence          plays it all, and keeps it
    python -m benchmarks.search.evidence --show   prints what was found last

A play draws rows of a task's table, one training of each, and takes the row that is best by each
kind of evidence: the score of the weights that are kept; the mean over the last epochs; that score
smoothed over its neighbours, by a Gaussian process on `benchmarks.search.distance`; and that score
mixed with what the row scores on the other tasks. Told is how far its mean test score is behind the
best of those drawn, whom luck flatters, for every kind alike.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from autopeft.report.table import show
from benchmarks import ledger
from benchmarks.search.distance import distance, place
from benchmarks.search.recorded import Row, Table, add_table_options, tables_of

RESULT = ledger.RESULTS / "search-evidence.json"
DRAWN = 40
EPOCHS = (2, 3)
"""The last ones, over which scores are averaged."""

LENGTHS = (2.0, 4.0, 8.0)
"""Distances at which the process takes two rows to have a correlation of 1/e."""

WEIGHTS = (0.25, 0.5, 1.0)
"""Of the other tasks beside the row's own score, which has 1."""

WORST = 0.06
"""Scores further than this below the best count as so far below: what is bad is bad."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the rows of a table whose trainings all came to their end.

    Args:
        kept: score of the weights that are kept, by row and seed (N, S); more is better.
        last: means over the last epochs, by how many, (N, S) each.
        apart: distances between rows (N, N).
        elsewhere: mean over the other tasks of how far a row is behind the best there (N,).
        error: standard error of a score.
        test: mean test score (N,); more is better.
    """

    kept: np.ndarray
    last: Mapping[int, np.ndarray]
    apart: np.ndarray
    elsewhere: np.ndarray
    error: float
    test: np.ndarray

    @classmethod
    def of(cls, table: Table, others: Sequence[Table]) -> Known:
        """Read a table, beside those of other tasks."""
        rows = [row for row in table.rows if row.test is not None]
        places = [place(row.candidate, row.trainable_params, table.backbone.shape) for row in rows]
        kept = np.array([[table.gain(one.score) for one in row.trainings] for row in rows])
        curves = np.array([[one.curve for one in row.trainings] for row in rows])
        sign = table.gain(1.0)
        best = min(max(float(kept.max()), 0.0), 1.0)
        return cls(
            kept=kept,
            last={count: sign * curves[:, :, -count:].mean(axis=2) for count in EPOCHS},
            apart=np.array([[distance(one, other) for other in places] for one in places]),
            elsewhere=_elsewhere(rows, others),
            error=math.sqrt(max(best * (1 - best), 0.02) / len(table.targets["selection"])),
            test=np.array([table.gain(row.test) for row in rows]),
        )

    def evidence(self, rows: np.ndarray, seeds: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield kinds of evidence with what each says of rows (D,) trained under seeds (D,)."""
        own = self.kept[rows, seeds]
        yield "own score", own
        for count, means in self.last.items():
            yield f"last {count} epochs", means[rows, seeds]
        for length in LENGTHS:
            yield f"smoothed, length {length:g}", self._smoothed(own, rows, length)
        for weight in WEIGHTS:
            yield f"other tasks, weight {weight:g}", own + weight * self.elsewhere[rows]

    def _smoothed(self, own: np.ndarray, rows: np.ndarray, length: float) -> np.ndarray:
        """Return the posterior mean of a Gaussian process at its own points."""
        values = np.maximum(own, own.max() - WORST)
        mean, variance = values.mean(), max(float(values.var()), 1e-12)
        alike = variance * np.exp(-self.apart[np.ix_(rows, rows)] / length)
        noisy = alike + self.error**2 * np.eye(len(rows))
        smoothed: np.ndarray = mean + alike @ np.linalg.solve(noisy, values - mean)
        return smoothed


def _elsewhere(rows: Sequence[Row], others: Sequence[Table]) -> np.ndarray:
    """Return how far rows (N,) are behind the best of other tasks, at most `WORST` on each.

    A row that no other task has is so far behind.
    """
    behind: list[list[float]] = [[] for _ in rows]
    for table in others:
        best = max(table.gain(one.score) for one in table.rows if one.score is not None)
        for row, own in zip(rows, behind, strict=True):
            found = table.by_fingerprint.get(row.candidate.fingerprint)
            if found is not None and found.score is not None:
                own.append(max(table.gain(found.score) - best, -WORST))
    return np.array([statistics.fmean(own) if own else -WORST for own in behind])


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Play, keep and return what was found, or show what is kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plays", type=int, default=400, help="on each task")
    add_table_options(parser, RESULT)
    options = parser.parse_args(arguments)
    if not options.show:
        tables = tables_of(options)
        found = {
            one.task: played(
                Known.of(one, [other for other in tables if other is not one]), options.plays
            )
            for one in tables
        }
        ledger.append(
            options.result,
            {
                "plays": options.plays,
                "recorded": options.recorded,
                "tables": {one.task: one.digest for one in tables},
                "regrets": found,
            },
        )
    run = ledger.read(options.result)[-1]
    show(summary(run["regrets"]), "table", Console(width=120))
    return run


def played(known: Known, plays: int) -> dict[str, float]:
    """Return the mean regret of the choice by each kind of evidence."""
    regrets: dict[str, list[float]] = {}
    for seed in range(plays):
        draw = np.random.default_rng(seed)
        rows = draw.permutation(len(known.test))[:DRAWN]
        seeds = draw.integers(known.kept.shape[1], size=len(rows))
        best = known.test[rows].max()
        for kind, values in known.evidence(rows, seeds):
            regrets.setdefault(kind, []).append(float(best - known.test[rows[values.argmax()]]))
    return {kind: statistics.fmean(found) for kind, found in regrets.items()}


def summary(regrets: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return a row per kind of evidence: points behind the best, over all tasks and on each."""
    return [
        {
            "chosen by": kind,
            "all tasks": f"{100 * statistics.fmean(of[kind] for of in regrets.values()):.2f}",
            **{task: f"{100 * of[kind]:.2f}" for task, of in regrets.items()},
        }
        for kind in next(iter(regrets.values()))
    ]


if __name__ == "__main__":
    main()
