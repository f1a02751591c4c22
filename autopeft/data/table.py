"""Rows of plain values as a memory-mapped Arrow file.

The rows are gone through twice: once to learn what each column holds, once to write it. So the
first thousand rows never decide the type of the last, and memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autopeft.data import cache
from autopeft.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

Row = tuple[int, Mapping[str, Any]]
"""Where a row stands (a line of a file, or a count from 1), and its cells by column."""

KindOf = Callable[[Any], str | None]
"""What a cell holds: ``int``, ``float``, ``bool``, ``text``, ``na`` (a word that means missing
among numbers), ``[int]`` … for lists, ``nested``; None for a missing one."""

_BATCH_ROWS = 10_000
_BATCH_BYTES = 64 * 2**20
_INT64 = 2**63


@dataclass(slots=True)
class _Column:
    """The kinds seen in a column, each with the place of its first cell."""

    first: dict[str, int] = field(default_factory=dict)

    def resolve(self, name: str, origin: str, unit: str, notes: list[str]) -> str | None:
        """Return the one kind of the column, or None if it has to be left out."""
        kinds = set(self.first)
        if "nested" in kinds:
            place = f"{unit} {self.first['nested']}"
            notes.append(f"column {name!r} was left out: it holds nested values (first: {place})")
            return None
        lists = {kind for kind in kinds if kind.startswith("[")}
        if lists:
            if kinds - lists:
                a, b = self._places(lists, unit), self._places(kinds - lists, unit)
                raise DataError(
                    f"{origin}: column {name!r} mixes lists ({a}) and single values ({b}); "
                    "give every row the same"
                )
            inner = {kind[1:-1] for kind in lists} - {""}
            return f"[{_widest(inner)}]"
        if kinds <= {"int", "float", "na"}:
            return _widest(kinds - {"na"}) if kinds - {"na"} else "text"
        if "text" in kinds and kinds & {"int", "float", "bool"} and "na" not in kinds:
            others = kinds & {"int", "float", "bool"}
            notes.append(
                f"column {name!r} mixes text ({self._places({'text'}, unit)}) and other values "
                f"({self._places(others, unit)}): all read as text"
            )
        return _widest(kinds - {"na"})

    def _places(self, kinds: set[str], unit: str) -> str:
        return f"{unit} {min(self.first[kind] for kind in kinds)}"


def _widest(kinds: set[str]) -> str:
    """Return the kind that can hold all of `kinds`."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds == {"int", "float"} else "text"


def kind_of_value(value: Any) -> str | None:
    """Return the kind of a Python value, as it comes from JSON, lists and frames."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_INT64 <= value < _INT64 else "text"
    if isinstance(value, float):
        return "float"
    if isinstance(value, (list, tuple)):
        inner = {kind_of_value(item) for item in value} - {None}
        if "nested" in inner or any(str(kind).startswith("[") for kind in inner):
            return "nested"
        return f"[{_widest({kind for kind in inner if kind}) if inner else ''}]"
    return "nested"


def write_rows(
    rows: Callable[[], Iterator[Row]],
    *,
    origin: str,
    unit: str,
    notes: list[str],
    kind_of: KindOf = kind_of_value,
) -> Dataset:
    """Write the rows to a temporary Arrow file and return them as a memory-mapped data set.

    Args:
        rows: starts a new pass over the rows.
        origin: names the data in messages.
        unit: what a row's place counts: ``"line"`` or ``"row"``.
        notes: decisions are appended here.
        kind_of: what a cell holds.

    Raises:
        DataError: there are no rows or columns, or a cell cannot be stored.
    """
    columns: dict[str, _Column] = {}
    count = 0
    for place, row in rows():
        count += 1
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = _Column()
            kind = kind_of(value)
            if kind is not None and kind not in column.first:
                column.first[kind] = place
    if not count:
        raise DataError(f"{origin}: has no rows; give it one row for each example")
    before = len(notes)
    resolved = {name: column.resolve(name, origin, unit, notes) for name, column in columns.items()}
    kinds = {name: kind for name, kind in resolved.items() if kind is not None}
    if not kinds:
        left_out = "; ".join(notes[before:])
        raise DataError(
            f"{origin}: has no usable columns; it needs a text and a label column"
            + (f" ({left_out})" if left_out else "")
        )
    return write_batches(_batches(rows(), kinds, kind_of, f"{origin}, {unit}"), _schema(kinds))


def write_batches(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Dataset:
    """Write record batches to a temporary Arrow file and return it memory-mapped.

    Raises:
        DataError: the temporary folder is full or not writable.
    """
    import datasets
    import pyarrow as pa

    path = cache.new_file()
    try:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    except OSError as fault:
        path.unlink(missing_ok=True)
        raise DataError(
            f"{path.parent}: a temporary copy of the data cannot be written "
            f"({fault.strerror or fault}); free space there, or point TMPDIR to another disk"
        ) from fault
    return datasets.Dataset.from_file(str(path))


def _schema(kinds: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
    return pa.schema(
        (name, pa.list_(types[kind[1:-1]]) if kind[0] == "[" else types[kind])
        for name, kind in kinds.items()
    )


def _batches(
    rows: Iterator[Row], kinds: Mapping[str, str], kind_of: KindOf, where: str
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches that are bounded in rows and, roughly, in bytes."""
    batch: dict[str, list[Any]] = {name: [] for name in kinds}
    places: list[int] = []
    size = 0
    for place, row in rows:
        places.append(place)
        for name, kind in kinds.items():
            value = row.get(name)
            seen = None if value is None else kind_of(value)
            batch[name].append(None if seen is None else _convert(value, kind, seen))
            size += len(value) if isinstance(value, str) else 8
        if len(places) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _record_batch(batch, kinds, places, where)
            batch, places, size = {name: [] for name in kinds}, [], 0
    if places:
        yield _record_batch(batch, kinds, places, where)


def _convert(value: Any, kind: str, seen: str) -> Any:
    """Return a cell as the kind of its column."""
    if kind == "text":
        return value if isinstance(value, str) else str(value)
    if seen == "na":
        return None
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    if kind == "[text]":
        return [None if item is None else str(item) for item in value]
    return value


def _record_batch(
    batch: Mapping[str, Sequence[Any]], kinds: Mapping[str, str], places: Sequence[int], where: str
) -> pa.RecordBatch:
    """Return the batch as Arrow arrays.

    Raises:
        DataError: a text holds half a surrogate pair, which no encoding can store.
    """
    import pyarrow as pa

    schema = _schema(kinds)
    try:
        return pa.record_batch([pa.array(batch[f.name], f.type) for f in schema], schema)
    except (UnicodeEncodeError, pa.ArrowException, OverflowError, ValueError) as fault:
        for name in kinds:
            for place, value in zip(places, batch[name], strict=True):
                try:
                    pa.array([value], schema.field(name).type)
                except (UnicodeEncodeError, pa.ArrowException, OverflowError, ValueError) as cell:
                    raise DataError(
                        f"{where} {place}, column {name!r}: the cell cannot be stored ({cell}); "
                        "correct or remove it"
                    ) from cell
        raise DataError(f"{where}s {places[0]} to {places[-1]}: {fault}") from fault
