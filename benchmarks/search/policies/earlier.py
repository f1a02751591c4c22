"""Earlier runs on other tasks, as a user has them: each saw a few candidates of its table."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from autopeft.api.earlier import in_turns
from autopeft.records import Candidate
from autopeft.search.front import Point, pareto
from benchmarks.search.recorded import Table

TRIED = 30
"""Candidates that an earlier run trained, drawn at random."""


def best_of_earlier(tables: Iterable[Table], seed: int) -> list[Candidate]:
    """Return what a search takes from earlier runs, see `autopeft.api.earlier.best_of_runs`.

    Args:
        tables: of the tasks that were searched earlier.
        seed: of what each of those runs tried.
    """
    return in_turns(_front(table, seed) for table in tables)


def _front(table: Table, seed: int) -> Iterator[Candidate]:
    """Yield the front of what one run tried, the most accurate first."""
    generator = np.random.default_rng([seed, zlib.crc32(table.task.encode())])
    drawn = generator.permutation(len(table.rows))[:TRIED]
    tried = [row for row in (table.rows[i] for i in drawn) if row.score is not None]
    points = [Point(gain=table.gain(row.score), size=row.size) for row in tried]
    for i in sorted(pareto(points), key=lambda i: -points[i].gain):
        yield tried[i].candidate
