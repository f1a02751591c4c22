"""Reading finished runs: their leaderboard, and predictions with their model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autopeft.api.searching import front_of
from autopeft.data.cache import quiet
from autopeft.data.load import load
from autopeft.delivery import TunedModel, probabilities
from autopeft.errors import DataError, suggestion
from autopeft.report.leaderboard import leaderboard
from autopeft.store import RunFolder
from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS


def read_leaderboard(run: Path) -> list[dict[str, object]]:
    """Return one row per trial of a run, the best first.

    Raises:
        RunFolderError: the folder holds no run.
    """
    with RunFolder.read(run) as folder:
        metric = folder.manifest["identity"]["metric"]
        higher = METRICS.get(metric).higher_is_better
        records = folder.trials(higher_is_better=higher).records()
    front = [record.number for record in front_of(records, higher)]
    return leaderboard(records, metric=metric, higher_is_better=higher, front=front)


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
    source = load(data)
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
        texts = texts.map(_as_text, batched=True)
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
