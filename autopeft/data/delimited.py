"""csv and tsv files as rows, with the line of every fault."""

from __future__ import annotations

import contextlib
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.data.encoding import open_text, without_gz
from autopeft.data.table import Row, kind_of_value, write_rows
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_INT = re.compile(r"[+-]?(0|[1-9]\d{0,99})", re.ASCII)
_FLOAT = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_NA = {"nan", "na", "n/a", "null", "none", "<na>"}
_SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How cells are told apart: the delimiter, and whether quotes mean anything."""

    delimiter: str
    quoting: bool = True


def read_delimited(path: Path, notes: list[str]) -> Dataset:
    """Read a csv or tsv file with a header line.

    Numbers are recognised over the whole column; ``007`` stays text. In a column of numbers,
    words such as ``NaN`` or ``NA`` are missing values; in a column of text they are text.

    Raises:
        DataError: empty, not text, duplicate column names, ragged rows, broken quotes.
    """
    dialect = _dialect(path)
    if dialect.delimiter == "\t" and not _quotes_mark_cells(path, dialect):
        dialect = _Dialect("\t", quoting=False)
        notes.append(f"{path.name}: quotes do not match; read as ordinary characters")
    if dialect.delimiter != "," and without_gz(path).lower().endswith(".csv"):
        notes.append(f"{path.name}: read with the delimiter {dialect.delimiter!r}")
    _check_form(path, dialect)
    return write_rows(
        lambda: _rows(path, dialect),
        origin=str(path),
        unit="line",
        notes=notes,
        kind_of=kind_of_cell,
    )


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a csv or tsv file as texts."""
    return _rows(path, _dialect(path))


class _FormError(DataError):
    """Quotes or cells that do not match up."""


def _quotes_mark_cells(path: Path, dialect: _Dialect) -> bool:
    """Whether quotes stand around cells; many files with tabs hold them as ordinary characters.

    They do not if they do not match, nor if two that happen to match enclose whole rows.
    """
    try:
        _check_form(path, dialect)
        if not any(_may_enclose_rows(cells) for _, cells in _cells(path, dialect)):
            return True
    except _FormError:
        return False
    try:
        _check_form(path, _Dialect(dialect.delimiter, quoting=False))
    except _FormError:
        return True
    return False


def _may_enclose_rows(cells: list[str]) -> bool:
    return any("\t" in cell and ("\n" in cell or "\r" in cell) for cell in cells)


def kind_of_cell(cell: str) -> str | None:
    """Return what a cell of a csv file holds, blanks around it aside; see `table.KindOf`."""
    cell = cell.strip()
    if not cell:
        return None
    if cell[0] in "+-.0123456789":
        if _INT.fullmatch(cell):
            return kind_of_value(int(cell))
        if _FLOAT.fullmatch(cell):
            return "float"
    elif len(cell) <= 4 and cell.lower() in _NA:
        return "na"
    return "text"


def _dialect(path: Path) -> _Dialect:
    """Tsv by its name; else the most frequent delimiter of the header line, comma first."""
    if without_gz(path).lower().endswith(".tsv"):
        return _Dialect("\t")
    with open_text(path) as lines:
        starts = iter(lambda: lines.readline(65536), "")
        header = next((line for line in starts if line.strip()), "")
    return _Dialect(max(",;\t|", key=header.count))


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Lift the csv module's limit of 128 KiB for a cell."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _cells(path: Path, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a row starts, and its cells.

    Skipped are blank lines, and rows of empty cells unless there is one for each column: then they
    are rows, as where a list of texts holds one that is empty.
    """
    columns = 0
    with open_text(path) as lines:
        reader = csv.reader(
            lines,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
            strict=True,
        )
        while True:
            start = reader.line_num + 1
            try:
                with _any_size():
                    cells = next(reader, None)
            except csv.Error as fault:
                raise _FormError(
                    f"{path}, line {start}: {fault}; put cells with quotes, commas or line breaks "
                    'in double quotes, and write a quote inside as ""'
                ) from fault
            if cells is None:
                return
            if not columns and any(map(str.strip, cells)):
                columns = len(cells)
            if columns and cells and (any(cells) or len(cells) == columns):
                yield start, cells


def _names(path: Path, dialect: _Dialect) -> list[str]:
    """Return the column names of the header line."""
    header = next((cells for _, cells in _cells(path, dialect)), None)
    if header is None:
        raise DataError(f"{path}: the file is empty; give it a header line and rows")
    names = [name.strip() or f"unnamed_{place}" for place, name in enumerate(header, start=1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}, line 1: several columns are named {', '.join(map(repr, twice))}; "
            "give each column its own name"
        )
    return names


def _rows(path: Path, dialect: _Dialect) -> Iterator[Row]:
    names, body = _names(path, dialect), _cells(path, dialect)
    next(body)
    for line, cells in body:
        yield line, dict(zip(names, cells, strict=False))


def _check_form(path: Path, dialect: _Dialect) -> None:
    """Raise for rows with more or fewer cells than the header, the first few together."""
    names, faults = _names(path, dialect), []
    body = _cells(path, dialect)
    next(body)
    for line, cells in body:
        if len(cells) != len(names):
            faults.append(f"line {line} has {len(cells)} cells")
            if len(faults) == _SHOWN_FAULTS:
                break
        for name, cell in zip(names, cells, strict=False):
            if "\0" in cell:
                raise DataError(
                    f"{path}, line {line}, column {name!r}: holds a NUL character (a binary "
                    "file?); save the file as UTF-8 text"
                )
    if faults:
        raise _FormError(
            f"{path}: the header names {len(names)} columns ({', '.join(names[:8])}), but "
            + ", ".join(faults)
            + "; give every row as many cells, with cells that hold the delimiter in quotes"
        )
