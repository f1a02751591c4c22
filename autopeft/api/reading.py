"""Reading finished runs: their leaderboard, and predictions with their model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autopeft.data.cache import new_file, quiet
from autopeft.data.load import load
from autopeft.delivery import TunedModel, probabilities
from autopeft.errors import ConfigError, DataError, UnknownNameError, suggestion
from autopeft.records import TrialRecord
from autopeft.report.leaderboard import leaderboard, merged
from autopeft.search.front import front_of
from autopeft.store import RunFolder
from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS


def read_leaderboard(run: Path, *, metric: str | None = None) -> list[dict[str, object]]:
    """Return one row per trial of a run, the best first.

    Args:
        run: its folder.
        metric: of the task, to order by; None for the one that the run went by.

    Raises:
        RunFolderError: the folder holds no run.
        UnknownNameError: the task has no such metric.
    """
    with RunFolder.read(run) as folder:
        identity = folder.manifest["identity"]
        metric = metric or str(identity["metric"])
        info = TASKS.get(identity["task"])
        if metric not in info.metrics:
            raise UnknownNameError("metric", metric, info.metrics, where=f"task {info.name}")
        own = METRICS.get(identity["metric"]).higher_is_better
        trials = folder.trials(higher_is_better=own)
        records = trials.records()
        replicates = trials.all_replicates()
    if metric != identity["metric"]:
        records = [_scored_by(record, metric) for record in records]
        replicates = {
            number: [_scored_by(one, metric) for one in further]
            for number, further in replicates.items()
        }
    return rows_of(records, replicates, metric)


def rows_of(
    records: Sequence[TrialRecord], replicates: Mapping[int, Sequence[TrialRecord]], metric: str
) -> list[dict[str, object]]:
    """Return the leaderboard of trials, the front by the mean over seeds.

    Args:
        records: of one run.
        replicates: further seeds of finalists, by the number of the trial.
        metric: that their scores are of.
    """
    higher = METRICS.get(metric).higher_is_better
    return leaderboard(
        records,
        metric=metric,
        higher_is_better=higher,
        front=[record.number for record in front_of(records, higher, replicates)],
        replicates=replicates,
    )


def read_leaderboards(
    runs: Sequence[Path], *, metric: str | None = None
) -> list[dict[str, object]]:
    """Return the rows of one run, or of several as one board, each with the name of its run.

    Args:
        runs: their folders.
        metric: as of `read_leaderboard`.

    Raises:
        RunFolderError: a folder holds no run.
        ConfigError: the runs go by different metrics, and none is named.
    """
    if len(runs) == 1:
        return read_leaderboard(runs[0], metric=metric)
    boards = {str(run): read_leaderboard(run, metric=metric) for run in runs}
    metrics = sorted({str(row["metric"]) for rows in boards.values() for row in rows})
    if len(metrics) > 1:
        raise ConfigError(f"the runs go by {' and '.join(metrics)}; name one with --metric")
    higher = not metrics or METRICS.get(metrics[0]).higher_is_better
    return merged(boards, higher_is_better=higher)


def _scored_by(record: TrialRecord, metric: str) -> TrialRecord:
    """Return a record with another score; at rungs only the run's own metric was measured."""
    return dataclasses.replace(record, score=record.metrics.get(metric), curve=())


def read_predictions(run: Path, data: Any, *, model: str | None = None) -> list[dict[str, object]]:
    """Return one row per example: its number, the prediction and, for classes, its probability.

    Args:
        run: a run folder or a delivered one.
        data: whatever `autopeft.data.load.load` takes; of several splits the first is used.
        model: where the backbone is now, if it moved.

    Raises:
        ModelError: there is no tuned model.
        DataError: the data cannot be read or lacks a column.
    """
    tuned = TunedModel(run, model=model)
    source = load(data, to_train=False)
    rows = next(iter(source.splits.values()))
    columns = {"text": tuned.about.text, "text_pair": tuned.about.text_pair}
    for column in columns.values():
        if column is not None and column not in rows.column_names:
            raise DataError(
                f"{source.origin} has no column {column!r}, which the model was tuned on; "
                f"{suggestion(column, rows.column_names)}"
            )
    wanted = {name: column for name, column in columns.items() if column is not None}
    texts = rows.select_columns(list(wanted.values())).rename_columns(
        {column: name for name, column in wanted.items()}
    )
    with quiet():
        texts = texts.map(_as_text, batched=True, cache_file_name=str(new_file()))
    outputs = tuned.outputs(texts)
    predicted = TASKS.get(tuned.about.task).predictions(outputs)
    if not tuned.about.labels:
        return [
            {"name": str(row), "prediction": float(value)} for row, value in enumerate(predicted)
        ]
    chance = probabilities(outputs).max(axis=1)
    return [
        {
            "name": str(row),
            "prediction": tuned.about.labels[int(value)],
            "probability": round(float(chance[row]), 4),
        }
        for row, value in enumerate(predicted)
    ]


def _as_text(batch: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return the texts; what is missing is read as an empty one."""
    return {
        name: ["" if value is None else str(value) for value in values]
        for name, values in batch.items()
    }
