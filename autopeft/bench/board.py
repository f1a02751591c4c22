"""The board of a suite, made of its cells alone."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autopeft.bench.cells import Cell, Cells, Searched
from autopeft.bench.chosen import repeats, tries
from autopeft.bench.opened import opened
from autopeft.bench.overall import group_of
from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.ranking import normalised, ranks_of
from autopeft.bench.rows import unpacked
from autopeft.bench.skips import Skips
from autopeft.bench.standing import standing
from autopeft.bench.suite import Block, Entry, Policy
from autopeft.bench.terms import circumstances_of, terms
from autopeft.errors import UnknownNameError
from autopeft.report.board import Board, Standing, TaskTable
from autopeft.search.front import Point, gain, pareto, size
from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS, untrained_score

_FAILED = float("-inf")


def read_board(part: Part, places: Places, *, metric: str | None = None) -> Board:
    """Return the board of what was trained so far; what is missing is there with its reason.

    Args:
        part: of the suite that is shown; the seeds are always the suite's.
        places: where the cells are.
        metric: to rank by on every task that has it; by default each task's own.

    Raises:
        UnknownNameError: no task that was trained has the metric.
    """
    found = {block: opened(part.suite, block, places) for block in part.blocks()}
    _check_metric(metric, [cells for cells in found.values() if cells is not None])
    tables = {block: _table(part, block, cells, places, metric) for block, cells in found.items()}
    together: dict[tuple[str, int, int], list[TaskTable]] = {}
    for block, table in tables.items():
        together.setdefault((block.backbone, block.examples, block.epochs), []).append(table)
    lines = [
        line
        for block, cells in found.items()
        if cells is not None
        for line in _lines(part, block, cells)
    ]
    return Board(
        suite=part.suite.name,
        description=part.suite.description,
        terms=tuple(terms(part.suite)),
        groups=tuple(
            group_of(backbone, examples, epochs, tables)
            for (backbone, examples, epochs), tables in together.items()
        ),
        circumstances=tuple(circumstances_of(lines)),
        command=shlex.join(["autopeft", "bench", part.suite.source, *places.options()]),
    )


def _check_metric(metric: str | None, found: Sequence[Cells]) -> None:
    known = {name for cells in found for name in TASKS.get(cells.about["problem"]).metrics}
    if metric is not None and metric not in known:
        raise UnknownNameError("metric", metric, sorted(known) or METRICS.names(), where="--metric")


def _table(
    part: Part, block: Block, cells: Cells | None, places: Places, metric: str | None
) -> TaskTable:
    about: Mapping[str, Any] = {} if cells is None else cells.about
    shown = _metric_of(about, metric)
    untrained = _untrained(about, shown) if about else 0.0
    names: list[Entry | Policy] = [*part.entries, *part.policies]
    skips = Skips(places.cells(block).parent)
    rows = [
        standing(
            part.suite,
            block,
            row,
            cells=cells,
            skips=skips,
            places=places,
            metric=shown,
            untrained=untrained,
        )
        for row in names
    ]
    started = any(row.scores or row.state == "failed" for row in rows)
    methods = {entry.name for entry in part.entries}
    settled = all(row.settled for row in rows if row.name in methods)
    return TaskTable(
        task=block.task,
        metric=shown,
        rows=about.get("rows", {}) if started else {},
        untrained=untrained if started else None,
        standings=tuple(_ranked(rows, shown, untrained)) if started else tuple(rows),
        counts=started and settled,
    )


def _metric_of(about: Mapping[str, Any], metric: str | None) -> str:
    if not about:
        return ""
    has = metric is not None and metric in TASKS.get(about["problem"]).metrics
    return metric if has and metric else str(about["metric"])


def _untrained(about: Mapping[str, Any], metric: str) -> float:
    """Return the test score of a model that learnt nothing of the selection rows."""
    selection, test = (unpacked(about["targets"][split]) for split in ("selection", "test"))
    return untrained_score(metric, selection, test)


def _ranked(rows: Sequence[Standing], metric: str, untrained: float | None) -> list[Standing]:
    """Return the rows with rank, normalised score and front, the best first."""
    higher = METRICS.get(metric).higher_is_better
    known = [row for row in rows if row.scores or row.state == "failed"]
    gains = np.array([gain(row.mean, higher) for row in known])
    shares = normalised(gains, gain(untrained, higher), float(gains.max(initial=_FAILED)))
    scored = [row for row in known if row.scores]
    points = [
        Point(gain=gain(row.mean, higher), size=size(int(row.costs["trainable_params"] or 0)))
        for row in scored
    ]
    front = {scored[index].name for index in pareto(points)}
    placed = [
        dataclasses.replace(row, rank=float(rank), normalised=float(share), front=row.name in front)
        for row, rank, share in zip(known, ranks_of(gains), shares, strict=True)
    ]
    placed.sort(key=lambda row: (row.rank or 0.0, row.name))
    return [*placed, *(row for row in rows if not (row.scores or row.state == "failed"))]


def _lines(part: Part, block: Block, cells: Cells) -> list[Mapping[str, Any]]:
    """Return the lines that a board is made of; the file may have others."""
    suite = part.suite
    wanted = [tries(suite, entry, block) for entry in part.entries]
    own = [cell for tried in wanted for cell in (*tried, *repeats(cells, tried, suite.seeds))]
    searched = [Searched.of(p, seed) for p in part.policies for seed in suite.seeds]
    every: list[Cell | Searched] = [*own, *searched]
    lines = {id(line): line for cell in every if (line := cells.get(cell))}
    return list(lines.values())
