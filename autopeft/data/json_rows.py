"""json and jsonl files as rows: one object a line, a list of objects, or an object of lists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.data.encoding import open_text, without_gz
from autopeft.data.table import Row, write_rows
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


def read_json(path: Path, notes: list[str]) -> Dataset:
    """Read a json or jsonl file; a json file may also hold one object a line.

    Raises:
        DataError: not JSON, not rows, or a name twice in one object.
    """
    if _is_lines(path):
        return write_rows(lambda: _lines(path), origin=str(path), unit="line", notes=notes)
    with open_text(path) as text:
        value = _parse(text.read(), path)
    rows = _as_rows(value, path)
    return write_rows(lambda: enumerate(rows, start=1), origin=str(path), unit="row", notes=notes)


def _is_lines(path: Path) -> bool:
    """Whether each line is an object: by the name, or since the first is one and more follow."""
    if without_gz(path).lower().endswith(("jsonl", "ndjson")):
        return True
    with open_text(path) as text:
        first = next((line for line in text if line.strip()), "")
        more = any(line.strip() for line in text)
    try:
        return isinstance(json.loads(first), dict) and more
    except (ValueError, RecursionError):
        return False


def _lines(path: Path) -> Iterator[Row]:
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            row = _parse(line, path, number)
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: an object {{…}} is expected on every line")
            yield number, row


def _parse(text: str, path: Path, line: int | None = None) -> Any:
    """Return the value of a whole file, or of one of its lines.

    Raises:
        DataError: not JSON, or a name twice in one object.
    """
    where = str(path) if line is None else f"{path}, line {line}"

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{where}: {twice!r} is there twice; give each column its own name")
        return row

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}" if line is None else f"column {fault.colno}"
        raise DataError(f"{where}, {place}: not valid JSON ({fault.msg}); correct it") from fault
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{where}: JSON that cannot be read ({fault}); simplify it") from fault


def _as_rows(value: Any, path: Path) -> list[dict[str, Any]]:
    """Return the rows of a whole JSON document."""
    if isinstance(value, dict):
        value = _rows_of_object(value, path)
    if not isinstance(value, list):
        raise DataError(f"{path}: a list of objects is expected, found {type(value).__name__}")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, row {number}: an object {{…}} is expected, found {type(row).__name__}"
            )
    return value


def _rows_of_object(value: dict[str, Any], path: Path) -> list[Any]:
    """Return the rows of an object that is a table, its columns, or one row.

    Columns are lists, or objects by the number of the row, as pandas writes them.
    """
    lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
    tables = {name: rows for name, rows in lists.items() if _are_objects(rows)}
    if len(lists) == 1 and tables:
        return next(iter(tables.values()))
    if len(tables) > 1 and any(tables.values()):
        raise DataError(
            f"{path}: holds several tables ({', '.join(tables)}); give each split a file of its "
            "own, in one folder"
        )
    if value and _are_objects(value.values()) and all(map(_is_numbered, value.values())):
        lists = {name: list(cells.values()) for name, cells in value.items()}
    if not lists or len(lists) < len(value):
        return [value]
    sizes = {name: len(cells) for name, cells in lists.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{path}: columns differ in length ({sizes}); make them equal")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _are_objects(values: Iterable[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _is_numbered(cells: dict[str, Any]) -> bool:
    return bool(cells) and all(name.isdecimal() for name in cells)
