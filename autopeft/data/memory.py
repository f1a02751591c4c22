"""Frames, lists and data sets that are in memory already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from autopeft.data.source import ALIASES
from autopeft.data.table import write_rows
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


def is_frame(data: object) -> bool:
    """Whether `data` is a pandas frame, told without importing pandas."""
    return type(data).__module__.startswith("pandas") and type(data).__name__ == "DataFrame"


def from_frame(frame: Any, notes: list[str]) -> Dataset:
    """Read a pandas frame; its index is ignored.

    Raises:
        DataError: duplicate column names or no rows.
    """
    names = [str(name) for name in frame.columns]
    _require_unique(names, "the frame")
    cells = {name: plain(frame.iloc[:, place]) for place, name in enumerate(names)}
    return from_columns(cells, "the frame", notes)


def from_columns(columns: Mapping[Any, Any], origin: str, notes: list[str]) -> Dataset:
    """Read columns of equal length.

    Raises:
        DataError: lengths differ, or a value is no list.
    """
    lists = {str(name): plain(cells, str(name), origin) for name, cells in columns.items()}
    _require_unique([str(name) for name in columns], origin)
    sizes = {name: len(cells) for name, cells in lists.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{origin}: columns differ in length ({sizes}); make them equal")
    names = tuple(lists)

    def rows() -> Any:
        for place, cells in enumerate(zip(*lists.values(), strict=True), start=1):
            yield place, dict(zip(names, map(_scalar, cells), strict=True))

    return write_rows(rows, origin=origin, unit="row", notes=notes)


def from_rows(rows: Sequence[Any], origin: str, notes: list[str]) -> Dataset:
    """Read a list of mappings; a key that a row lacks is a missing value.

    Raises:
        DataError: a row is no mapping.
    """
    for place, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"{origin}, row {place}: a mapping from column to value is expected, "
                f"found {type(row).__name__}; or give a tuple (texts, labels)"
            )

    def pairs() -> Any:
        for place, row in enumerate(rows, start=1):
            yield place, {str(name): _scalar(value) for name, value in row.items()}

    return write_rows(pairs, origin=origin, unit="row", notes=notes)


def from_texts(texts: Any, labels: Any, notes: list[str]) -> Dataset:
    """Read texts, or pairs of texts, and their labels, as scikit-learn takes them.

    Raises:
        DataError: lengths differ.
    """
    first, given = plain(texts, "texts", "the lists"), plain(labels, "labels", "the lists")
    if len(first) != len(given):
        raise DataError(f"{len(first)} texts but {len(given)} labels; make them equal in number")
    columns: dict[str, Any] = {"text": first, "label": given}
    if first and all(isinstance(text, (list, tuple)) and len(text) == 2 for text in first):
        columns = {
            "text": [text for text, _ in first],
            "text_pair": [pair for _, pair in first],
            "label": given,
        }
    return from_columns(columns, "the lists", notes)


def from_dataset_dict(splits: Mapping[str, Any], notes: list[str]) -> dict[str, Dataset]:
    """Rename the splits of a ``DatasetDict`` to canonical names; others are left out and noted.

    Raises:
        DataError: two splits have the same role.
    """
    renamed: dict[str, Dataset] = {}
    for name, dataset in splits.items():
        role = ALIASES.get(str(name).lower())
        if role is None and len(splits) == 1:
            role = "train"
        if role is None:
            notes.append(f"split {name!r} was left out: it is no train, validation or test split")
        elif role in renamed:
            raise DataError(f"two splits could be the {role} split ({', '.join(splits)}); keep one")
        else:
            renamed[role] = dataset
    return renamed


def plain(values: Any, name: str = "", origin: str = "the frame") -> list[Any]:
    """Return a list of Python values from a list, tuple, array, series or column.

    Raises:
        DataError: it is none of these.
    """
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        kind = type(values).__name__
        raise DataError(f"{origin}: column {name!r} must be a list of values, not {kind}")
    return list(values)


def _scalar(value: Any) -> Any:
    """Return a missing value of pandas as None, a scalar of numpy and a decimal as plain Python."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Decimal):
        return float(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _require_unique(names: Sequence[str], origin: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        listed = ", ".join(map(repr, twice))
        raise DataError(f"{origin}: several columns are named {listed}; give each its own name")
