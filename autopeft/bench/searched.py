"""A search as one cell: the whole of `autopeft.search` on the rows that the methods have."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.api import search
from autopeft.api.result import SearchResult
from autopeft.bench.cells import Searched
from autopeft.bench.rows import Rows
from autopeft.data.cache import quiet
from autopeft.errors import AutoPeftError, RunFolderError
from autopeft.records import TrialRecord
from autopeft.search.other_tasks import tasks_of
from autopeft.store import RunFolder

if TYPE_CHECKING:
    from datasets import Dataset


def run_search(
    cell: Searched, rows: Rows, model: str, folder: Path, *, limit_seconds: float, max_length: int
) -> dict[str, Any]:
    """Return the line of a search that may take so long, start and delivery included.

    Args:
        cell: what is searched under which seed.
        rows: that all rows of the board have.
        model: folder or hub name of the backbone.
        folder: of the run; a search that was cut off goes on in it, afterwards it is removed.
        limit_seconds: of wall clock, so that its trainings together take less.
        max_length: longest input in tokens.

    Raises:
        RunFolderError: the folder is in use or cannot be written.
    """
    started = core_seconds()
    values: dict[str, Any] = {"limit_seconds": round(limit_seconds, 1)}
    with quiet():
        splits = {name: _named(rows, dataset) for name, dataset in rows.splits.items()}
    try:
        result = search(
            splits,
            model=model,
            task=rows.problem.task,
            text="text",
            text_pair=None if rows.problem.columns.text_pair is None else "text_pair",
            label="label",
            metric=rows.problem.metric,
            space=cell.space,
            seed=cell.seed,
            time_limit=limit_seconds,
            max_length=max_length,
            leave_out=[rows.task] if rows.task in tasks_of() else None,
            output=folder,
        )
        values |= _line(result, _trained(result))
    except RunFolderError:
        raise
    except AutoPeftError as error:
        kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__.removesuffix("Error")).lower()
        said = str(error).replace(str(folder.resolve()), "RUN")
        values |= {"state": "failed", "cause": kind, "message": said[:200]}
    shutil.rmtree(folder, ignore_errors=True)
    return {**values, "cpu_seconds": round(core_seconds() - started, 1)}


def core_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _named(rows: Rows, dataset: Dataset) -> Dataset:
    """Return rows as a user has them: with the names of their classes."""
    texts = [name for name in ("text", "text_pair") if name in dataset.column_names]
    labels = dataset["label"][:]
    if rows.problem.labels:
        labels = [rows.problem.labels[number] for number in labels]
    return dataset.select_columns(texts).add_column("label", labels)


def _trained(result: SearchResult) -> list[TrialRecord]:
    """Return every training of a search, replicates of finalists included."""
    with RunFolder.read(result.folder) as folder:
        trials = folder.trials(higher_is_better=result.higher_is_better)
        further = [one for record in result.records for one in trials.replicates(record.number)]
        return [*result.records, *trials.superseded(), *further]


def _line(result: SearchResult, trained: list[TrialRecord]) -> Mapping[str, Any]:
    """Return what is kept; the training time is that of the whole search."""
    choice = result.choice
    (record,) = (one for one in result.records if one.number == choice.number)
    seconds = sum(one.costs.train_seconds or 0.0 for one in trained)
    return {
        "state": "complete",
        "curve": [round(point.score, 5) for point in record.curve],
        "selection": {choice.metric: choice.selection_score},
        "test": dict(choice.test_scores),
        "costs": {**dataclasses.asdict(record.costs), "train_seconds": seconds},
        "chosen": record.candidate.to_json(),
        "reason": choice.reason,
        "trials": len(result.records),
        "trainings": len(trained),
    }
