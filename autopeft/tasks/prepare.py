"""A source as training, selection and test data with canonical columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.data.folds import SMALL, Fold, folds
from autopeft.data.likeness import unlike
from autopeft.data.source import Source
from autopeft.data.split import split
from autopeft.data.table import write_batches
from autopeft.errors import DataError
from autopeft.tasks import TASKS, Columns
from autopeft.tasks.problem import Problem
from autopeft.tasks.row import Skipped, UsableRow, no_rows, usable_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Data ready to be encoded.

    The columns are ``text`` (str), ``text_pair`` (str, where the problem has one), ``label`` (the
    class number or the float) and ``row`` (the row in the source's split, or in its train split
    for what was carved out of it, counted from 0).

    Args:
        problem: what is to be learned.
        train: to train on.
        selection: to compare candidates on.
        test: to be read once, after the choice.
        folds: the rows of training and selection divided anew, as they are first; only that where
            selection was given, or is large enough.
        notes: decisions, one sentence each; those that begin with ``warning:`` matter most.
    """

    problem: Problem
    train: Dataset
    selection: Dataset
    test: Dataset
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]


def prepare(source: Source, problem: Problem, *, seed: int) -> Prepared:
    """Clean the rows, turn labels into targets and split.

    Rows without a text or a label are left out, and so is a given selection or test split without
    any label; both are noted.

    Raises:
        DataError: a label that is of no use, a class that training lacks, too few rows.
    """
    notes: list[str] = []
    clean: dict[str, Dataset] = {}
    for name, dataset in source.splits.items():
        where = f"{source.origin}, {name}"
        _require_texts(dataset, problem.columns, where)
        if name != "train" and problem.columns.label not in dataset.column_names:
            notes.append(f"the given {name} split has no labels and is not used")
            continue
        skipped = Skipped()
        usable = _clean(dataset, problem, where, skipped)
        if len(usable):
            clean[name] = usable
            notes += skipped.notes(name)
        elif name == "train":
            raise DataError(f"{no_rows(where, skipped)}; give complete rows")
        else:
            notes.append(f"{no_rows(where, skipped)}; this split is not used")
    _require_known(clean, problem, source)
    _require_variation(clean["train"], problem, source)
    inputs = ["text"] if problem.columns.text_pair is None else ["text", "text_pair"]
    parts = split(clean, strata="label", seed=seed, inputs=inputs, names=problem.labels or None)
    notes += parts.notes + tuple(unlike(parts, inputs, seed))
    divided = [Fold(train=parts.train, selection=parts.selection)]
    if "selection" in parts.carved and len(parts.selection) < SMALL:
        divided = folds(parts.train, parts.selection, strata="label", seed=seed, inputs=inputs)
    if len(divided) > 1:
        notes.append(
            f"selection has only {len(parts.selection)} rows: further seeds of the finalists are "
            "trained and compared on other folds of these and the training rows, "
            f"{len(divided)} in all"
        )
    return Prepared(
        problem=problem,
        train=parts.train,
        selection=parts.selection,
        test=parts.test,
        folds=tuple(divided),
        notes=tuple(notes),
    )


def _require_texts(dataset: Dataset, columns: Columns, where: str) -> None:
    """Raise if a text column is not there."""
    for name in (columns.text, columns.text_pair):
        if name is not None and name not in dataset.column_names:
            raise DataError(
                f"{where}: there is no column {name!r} (columns: "
                f"{', '.join(dataset.column_names)}); give every split the same columns"
            )


def _clean(dataset: Dataset, problem: Problem, where: str, skipped: Skipped) -> Dataset:
    """Return the usable rows with canonical columns, on disk; memory stays bounded."""
    categorical = TASKS.get(problem.task).categorical
    numbers = {name: number for number, name in enumerate(problem.labels)}
    batches = usable_rows(
        dataset, problem.columns, categorical=categorical, where=where, skipped=skipped
    )
    schema = _schema(problem)
    return write_batches(_canonical(batches, numbers, schema), schema)


def _canonical(
    batches: Iterator[list[UsableRow]], numbers: dict[str, int], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Turn rows into Arrow batches; a class that is not among the problem's becomes −1."""
    import pyarrow as pa

    for batch in batches:
        cells: dict[str, list[Any]] = {
            "text": [row.text for row in batch],
            "text_pair": [row.text_pair for row in batch],
            "label": [numbers.get(str(row.label), -1) if numbers else row.label for row in batch],
            "row": [row.index for row in batch],
        }
        if batch:
            arrays = [pa.array(cells[field.name], field.type) for field in schema]
            yield pa.record_batch(arrays, schema)


def _schema(problem: Problem) -> pa.Schema:
    import pyarrow as pa

    fields = [("text", pa.string())]
    if problem.columns.text_pair is not None:
        fields.append(("text_pair", pa.string()))
    label = pa.int64() if problem.labels else pa.float64()
    return pa.schema([*fields, ("label", label), ("row", pa.int64())])


def _require_known(clean: dict[str, Dataset], problem: Problem, source: Source) -> None:
    """Raise for a class of selection or test that training lacks.

    Raises:
        DataError: names the class, the split and the row.
    """
    if not problem.labels:
        return
    for name, dataset in clean.items():
        labels = dataset["label"][:]
        unknown = labels.index(-1) if -1 in labels else None
        if unknown is not None:
            row = dataset[unknown]["row"]
            found = _class_of(source.splits[name], row, problem.columns)
            raise DataError(
                f"{source.origin}, {name}, row {row + 1}, column {problem.columns.label!r}: class "
                f"{found!r} is not in the training data ({labels.count(-1)} such rows in "
                f"{name}); add training examples of it, or remove these rows"
            )


def _require_variation(train: Dataset, problem: Problem, source: Source) -> None:
    """Raise where the numbers to train on are all the same in the precision of a model.

    Raises:
        DataError: names the column.
    """
    if problem.labels:
        return
    numbers = np.asarray(train["label"][:])
    if np.ptp(numbers.astype(np.float32)):
        return
    where = f"{source.origin}: column {problem.columns.label!r}"
    if not np.ptp(numbers):
        raise DataError(
            f"{where} has one number only ({float(numbers[0])!r}); there is nothing to learn; give "
            "rows with other numbers, or another --label"
        )
    low, high = float(numbers.min()), float(numbers.max())
    raise DataError(
        f"{where} has numbers that a model, which computes in single precision, cannot tell apart "
        f"({low!r} to {high!r}); subtract what they share, or multiply them"
    )


def _class_of(dataset: Dataset, row: int, columns: Columns) -> str:
    """Return the name of the class of a usable row."""
    alone = dataset.select([row])
    batches = usable_rows(alone, columns, categorical=True, where="", skipped=Skipped())
    return str(next(batches)[0].label)
