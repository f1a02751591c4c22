"""Rows over all tasks: mean ranks, mean normalised scores, and what tests say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from autopeft.bench.ranking import critical_difference, friedman, ranks_of, summary
from autopeft.report.board import Group, Overall, Standing, TaskTable
from autopeft.search.front import Point, gain, pareto, size
from autopeft.tasks.metric import METRICS

_FAILED = float("-inf")
_FEW_TASKS = 10  # up to which Demšar (2006) would not take χ² for Friedman's statistic


def group_of(backbone: str, examples: int, epochs: int, tables: Sequence[TaskTable]) -> Group:
    """Return what can be ranked together: the tables of a backbone and a number of rows.

    A task counts where every method has a result or a reason; a row is ranked where it has a
    result on every task that counts.
    """
    counting = [table for table in tables if table.counts]
    found = {
        table.task: {row.name: row for row in table.standings if row.rank is not None}
        for table in counting
    }
    everyone = [row.name for row in tables[0].standings] if tables else []
    ranked = [name for name in sorted(everyone) if all(name in rows for rows in found.values())]
    overall = _overall(counting, ranked) if counting and ranked else []
    started = {row.name for rows in found.values() for row in rows.values()}
    return Group(
        backbone=backbone,
        examples=examples,
        epochs=epochs,
        tasks=tuple(tables),
        overall=tuple(overall),
        unranked=tuple(sorted(started - set(ranked))),
        verdict=tuple(_verdict(counting, overall, ranked)) if overall else (),
    )


def _overall(tables: Sequence[TaskTable], names: Sequence[str]) -> list[Overall]:
    by_task = [{row.name: row for row in table.standings} for table in tables]
    directions = [METRICS.get(table.metric).higher_is_better for table in tables]
    gains = [
        [[gain(v, higher) for v in rows[name].scores.values()] or [_FAILED] for name in names]
        for rows, higher in zip(by_task, directions, strict=True)
    ]
    floors = [gain(t.untrained, higher) for t, higher in zip(tables, directions, strict=True)]
    bests = [
        max(gain(row.mean, higher) for row in t.standings)
        for t, higher in zip(tables, directions, strict=True)
    ]
    found = summary(gains, floors, bests)
    sizes = [
        _median(rows[name].costs.get("trainable_params") for rows in by_task) for name in names
    ]
    trained = [at for at, params in enumerate(sizes) if params is not None]
    points = [
        Point(gain=float(found.normalised[at]), size=size(int(sizes[at] or 0))) for at in trained
    ]
    front = {trained[at] for at in pareto(points)}
    rows = [
        Overall(
            name=name,
            rank=float(found.ranks[at]),
            rank_interval=_bounds(found.rank_bounds, at),
            normalised=float(found.normalised[at]),
            normalised_interval=_bounds(found.normalised_bounds, at),
            trainable_params=sizes[at],
            train_seconds=_sum(rows[name].costs.get("train_seconds") for rows in by_task),
            front=at in front,
            failed=_tasks(tables, by_task, name, "failed"),
            partial=_tasks(tables, by_task, name, "partial"),
        )
        for at, name in enumerate(names)
    ]
    return sorted(rows, key=lambda row: (row.rank, row.name))


def _tasks(
    tables: Sequence[TaskTable], by_task: Sequence[Mapping[str, Standing]], name: str, state: str
) -> tuple[str, ...]:
    return tuple(
        table.task for table, rows in zip(tables, by_task, strict=True) if rows[name].state == state
    )


def _verdict(
    tables: Sequence[TaskTable], overall: Sequence[Overall], names: Sequence[str]
) -> list[str]:
    """Return what the tests say of the ranks of the same rows on every task."""
    ranks = np.array(
        [
            ranks_of(np.array([gain(rows[n].mean, higher) for n in names]))
            for table in tables
            for rows in [{row.name: row for row in table.standings}]
            for higher in [METRICS.get(table.metric).higher_is_better]
        ]
    )
    tested = friedman(ranks)
    if tested is None:
        return ["Too few tasks or rows to test whether the differences are more than chance."]
    count, rows = ranks.shape
    few = "" if count > _FEW_TASKS else "; of so few tasks the p-value is rough"
    difference = critical_difference(count, rows)
    nemenyi = f"Nemenyi's critical difference of mean ranks at 5 % is {difference:.2f}"
    if difference >= rows - 1:
        verdict = f"more than ranks of {rows} rows can differ: so few tasks tell no two apart."
    else:
        behind = [row.name for row in overall[1:] if row.rank - overall[0].rank >= difference]
        verdict = f"told apart from {overall[0].name}: {', '.join(behind) or 'none'}."
    return [
        f"Friedman's test: χ² = {tested[0]:.1f}, p = {tested[1]:.2g} over {count} tasks and "
        f"{rows} rows{few}.",
        f"{nemenyi}; {verdict}",
    ]


def _bounds(bounds: np.ndarray, at: int) -> tuple[float, float]:
    return float(bounds[0, at]), float(bounds[1, at])


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
