"""Usable rows of a data set: texts and a label, checked, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autopeft.data.columns import plain_cells
from autopeft.errors import DataError
from autopeft.tasks import Columns
from autopeft.tasks.class_label import NAN_NAMES, class_name, class_names

if TYPE_CHECKING:
    from datasets import Dataset

LARGEST = 1e37
"""Single precision ends at 3e38; a model needs room for predictions beyond what it has seen."""

_BATCH_ROWS = 1_000


@dataclass(slots=True)
class Skipped:
    """Rows that were left out: how many, and the first, by the column that lacks a value."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, column: str, row: int) -> None:
        """Count a row, numbered from 0, that lacks a value in a column."""
        self.counts[column] = self.counts.get(column, 0) + 1
        self.first.setdefault(column, row)

    def notes(self, split: str) -> list[str]:
        """Return one sentence for each column."""
        return [
            f"{count} {'row' if count == 1 else 'rows'} of {split} left out: no value in column "
            f"{column!r} (first: row {self.first[column] + 1})"
            for column, count in self.counts.items()
        ]


@dataclass(frozen=True, slots=True)
class UsableRow:
    """A row with everything a task needs; `label` is a class name or a number."""

    index: int
    text: str
    text_pair: str | None
    label: str | float


def usable_rows(
    dataset: Dataset, columns: Columns, *, categorical: bool, where: str, skipped: Skipped
) -> Iterator[list[UsableRow]]:
    """Yield the rows that have their texts and their label, a thousand at a time.

    Rows that lack one are counted in `skipped`.

    Args:
        dataset: with at least these columns.
        columns: which column plays which role.
        categorical: whether labels are classes (True) or numbers (False).
        where: names the data set in messages.
        skipped: counts what is left out.

    Raises:
        DataError: a label is of the wrong type, not finite, or a text is no text.
    """
    needed = [name for name in (columns.text, columns.text_pair, columns.label) if name is not None]
    feature = dataset.features[columns.label]
    names = getattr(feature, "names", None)
    chosen = dataset.select_columns(needed).with_format("arrow")
    for start in range(0, len(dataset), _BATCH_ROWS):
        table = chosen[start : start + _BATCH_ROWS]
        cells = [plain_cells(table.column(name)) for name in needed]
        batch = []
        for index, row in enumerate(zip(*cells, strict=True), start=start):
            place = f"{where}, row {index + 1}"
            texts = [_text(cell, place, name) for cell, name in zip(row, needed[:-1], strict=False)]
            label = _label(row[-1], names, categorical, f"{place}, column {columns.label!r}")
            present = [*texts, label]
            if None in present:
                skipped.add(needed[present.index(None)], index)
                continue
            pair = texts[1] if columns.text_pair is not None else None
            batch.append(UsableRow(index, str(texts[0]), pair, label))  # type: ignore[arg-type]
        yield batch


def found_classes(dataset: Dataset, columns: Columns, where: str) -> tuple[str, ...]:
    """Return the classes of the usable rows, in natural order.

    Raises:
        DataError: no row is usable, or a label is no class.
    """
    skipped, names = Skipped(), set()
    batches = usable_rows(dataset, columns, categorical=True, where=where, skipped=skipped)
    for batch in batches:
        names |= {str(row.label) for row in batch}
    if not names:
        raise DataError(f"{no_rows(where, skipped)}; give complete rows")
    return class_names(names)


def no_rows(where: str, skipped: Skipped) -> str:
    """Say that nothing is left, and why."""
    lacking = ", ".join(f"{count} lack {column!r}" for column, count in skipped.counts.items())
    return f"{where}: no row has text and label ({lacking})"


def _text(cell: Any, place: str, column: str) -> str | None:
    """Return a cell as text; None if it is missing or blank."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, (list, dict, bytes)):
        kind = type(cell).__name__
        raise DataError(
            f"{place}, column {column!r}: a text is expected, found {kind}; choose with --text"
        )
    text = str(cell)
    return text if text.strip() else None


def _label(cell: Any, names: list[str] | None, categorical: bool, place: str) -> str | float | None:
    """Return a cell as a class name or a number; None if it is missing."""
    if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
        return None
    if categorical:
        return _class(cell, names, place)
    try:
        number = float(cell)
    except (TypeError, ValueError) as fault:
        raise DataError(
            f"{place}: {cell!r} is not a number; correct it, or use --task text-classification"
        ) from fault
    if not math.isfinite(number):
        raise DataError(f"{place}: {cell!r} is not a finite number; correct or remove it")
    if abs(number) > LARGEST:
        raise DataError(f"{place}: {cell!r} is too large for a model; give it in larger units")
    return number


def _class(cell: Any, names: list[str] | None, place: str) -> str | None:
    if names is not None and isinstance(cell, int):
        # Data sets on the hub mark a missing class by -1.
        return names[cell] if 0 <= cell < len(names) else None
    if isinstance(cell, float) and not cell.is_integer():
        raise DataError(
            f"{place}: {cell!r} is a number with a fraction, not a class; use --task regression, "
            "or another --label"
        )
    if isinstance(cell, (list, dict, bytes)):
        raise DataError(f"{place}: a class is expected, found {type(cell).__name__}")
    name = class_name(cell)
    return None if name in NAN_NAMES else name
