"""A board across tasks as plain values: standings on each task, ranks over all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autopeft.errors import UnknownNameError
from autopeft.report.leaderboard import by_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One row of a task's table.

    Args:
        name: of the method, variant or policy.
        state: ``complete``, ``partial`` (seeds or rates are missing, or a seed failed), ``failed``
            or ``missing``.
        note: why it is no more than that; of a search, what it chose.
        settled: whether nothing is left to do for it.
        scores: on the test split, by seed.
        mean: of the scores.
        spread: their standard deviation; None for a single seed.
        selection: mean score on the selection split.
        normalised: 0 for a model that learnt nothing, 1 for the best row; None without scores.
        rank: 1 for the best; equal scores share their mean rank; what failed comes last.
        front: whether nothing smaller is as good.
        learning_rate: the best so far; None for a search.
        untried: how many rates are not tried yet.
        costs: the six prices and ``cpu_seconds``, medians over seeds.
        command: that trains it once more; SEED stands for any seed.
    """

    name: str
    state: str
    note: str = ""
    settled: bool = False
    scores: Mapping[int, float] = field(default_factory=dict)
    mean: float | None = None
    spread: float | None = None
    selection: float | None = None
    normalised: float | None = None
    rank: float | None = None
    front: bool = False
    learning_rate: float | None = None
    untried: int = 0
    costs: Mapping[str, float | None] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTable:
    """One task on one backbone.

    Args:
        task: its name.
        metric: of the scores.
        rows: to train, select and test on; empty where nothing was trained.
        untrained: the score of a model that learnt nothing; None where nothing was trained.
        standings: the best first.
        counts: whether every method has a result or a reason, so that ranks over tasks count it.
    """

    task: str
    metric: str
    rows: Mapping[str, int]
    untrained: float | None
    standings: tuple[Standing, ...]
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """A row over all tasks that count.

    Args:
        name: of the method, variant or policy.
        rank: mean over tasks.
        rank_interval: of 95 % of resamples of tasks and seeds.
        normalised: mean over tasks.
        normalised_interval: likewise.
        trainable_params: median over tasks.
        train_seconds: sum over tasks.
        front: whether nothing smaller has as high a normalised score.
        failed: tasks on which every training failed.
        partial: tasks on which seeds are missing, or one failed.
    """

    name: str
    rank: float
    rank_interval: tuple[float, float]
    normalised: float
    normalised_interval: tuple[float, float]
    trainable_params: float | None
    train_seconds: float | None
    front: bool
    failed: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What can be ranked together: one backbone, one number of rows to train on.

    Args:
        backbone: its name.
        examples: rows to train on.
        epochs: of every training.
        tasks: every task of the suite.
        overall: the best first; empty as long as no task counts.
        unranked: rows that lack a result on a task that counts.
        verdict: what the Friedman and Nemenyi tests say, a sentence each.
    """

    backbone: str
    examples: int
    epochs: int
    tasks: tuple[TaskTable, ...]
    overall: tuple[Overall, ...]
    unranked: tuple[str, ...]
    verdict: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The board of one suite.

    Args:
        suite: its name.
        description: one sentence.
        terms: what all trainings have in common, a sentence each.
        groups: one per backbone and number of rows to train on.
        circumstances: where and with what it was measured, a sentence each.
        command: that does what is missing.
    """

    suite: str
    description: str
    terms: tuple[str, ...]
    groups: tuple[Group, ...]
    circumstances: tuple[str, ...]
    command: str


COSTS = (
    *("trainable_params", "head_params", "artifact_bytes", "peak_memory_bytes"),
    *("train_seconds", "latency_seconds", "cpu_seconds"),
)


def arranged(board: Board, front: bool, sort: str | None, descending: bool = False) -> Board:
    """Return a board with the rows of the fronts only, or in the order of another column.

    Args:
        board: the whole.
        front: whether rows that something smaller beats are left out.
        sort: a column of `rows_of`; a table that lacks it stays as it is.
        descending: whether the largest come first.

    Raises:
        UnknownNameError: no table has such a column.
    """
    if sort is not None and sort not in _KEYS:
        raise UnknownNameError("column", sort, _KEYS, where="--sort")
    return dataclasses.replace(
        board,
        groups=tuple(_arranged(board, group, front, sort, descending) for group in board.groups),
    )


def _arranged(board: Board, group: Group, front: bool, sort: str | None, descending: bool) -> Group:
    def chosen(rows: Sequence[Any], plain: Sequence[Mapping[str, object]]) -> tuple[Any, ...]:
        kept = [pair for pair in zip(rows, plain, strict=True) if pair[0].front or not front]
        if sort is not None:
            kept.sort(key=lambda pair: by_value(pair[1][sort], descending))
        return tuple(row for row, _ in kept)

    tasks = tuple(
        dataclasses.replace(
            table, standings=chosen(table.standings, _task_rows(board, group, table))
        )
        if table.rows  # of a task that nothing was trained on, all say why
        else table
        for table in group.tasks
    )
    overall = chosen(group.overall, _overall_rows(board, group))
    return dataclasses.replace(group, tasks=tasks, overall=overall)


def rows_of(boards: Sequence[Board]) -> list[dict[str, object]]:
    """Return a row per standing of every task and one per row over all tasks, for programs."""
    return [
        row
        for board in boards
        for group in board.groups
        for row in (
            *_overall_rows(board, group),
            *(row for table in group.tasks for row in _task_rows(board, group, table)),
        )
    ]


def _overall_rows(board: Board, group: Group) -> list[dict[str, object]]:
    return [
        {
            **_place(row.name, board, group, "all tasks", "mean over tasks"),
            "state": "partial" if row.failed or row.partial else "complete",
            "note": note_of(row),
            "rank": row.rank,
            "rank_low": row.rank_interval[0],
            "rank_high": row.rank_interval[1],
            "normalised": row.normalised,
            "normalised_low": row.normalised_interval[0],
            "normalised_high": row.normalised_interval[1],
            "front": row.front,
            "trainable_params": row.trainable_params,
            "train_seconds": row.train_seconds,
        }
        for row in group.overall
    ]


def note_of(row: Overall) -> str:
    """Return on which tasks a row has not everything."""
    said = {"failed on": row.failed, "partial on": row.partial}
    return "; ".join(f"{what} {', '.join(tasks)}" for what, tasks in said.items() if tasks)


def _task_rows(board: Board, group: Group, table: TaskTable) -> list[dict[str, object]]:
    return [
        {
            **_place(row.name, board, group, table.task, table.metric),
            "state": row.state,
            "note": row.note,
            "rank": row.rank,
            "score": row.mean,
            "spread": row.spread,
            "seeds": len(row.scores),
            "selection": row.selection,
            "normalised": row.normalised,
            "front": row.front,
            "learning_rate": row.learning_rate,
            **{name: row.costs.get(name) for name in COSTS},
            "command": row.command,
        }
        for row in table.standings
    ]


def _place(name: str, board: Board, group: Group, task: str, metric: str) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(_KEYS)
    return empty | {
        "name": name,
        "suite": board.suite,
        "backbone": group.backbone,
        "examples": group.examples,
        "task": task,
        "metric": metric,
        "note": "",
        "command": "",
    }


_KEYS = (
    *("name", "suite", "backbone", "examples", "task", "metric", "state", "note"),
    *("rank", "rank_low", "rank_high", "score", "spread", "seeds", "selection"),
    *("normalised", "normalised_low", "normalised_high", "front", "learning_rate"),
    *COSTS,
    "command",
)
