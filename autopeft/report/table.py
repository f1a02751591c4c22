"""One table, three formats: for people, for programs, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "json", "csv")
FILE_FORMATS = ("json", "csv")

Row = Mapping[str, object]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def show(
    rows: Sequence[Row], form: str, console: Console, *, columns: Sequence[str] | None = None
) -> None:
    """Print rows in one of `FORMATS`.

    Args:
        rows: every row has the same keys; ``name`` comes first.
        form: ``table`` shows `columns`, ``json`` and ``csv`` everything.
        console: where to print.
        columns: keys to show in a table; all if None.
    """
    if form == "table":
        _print_table(rows, console, columns)
    else:
        console.file.write(as_text(rows, form))


def as_text(rows: Sequence[Row], form: str) -> str:
    """Return rows for programs: JSON where that is asked for, else CSV."""
    if form == "json":
        return json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n"
    return as_csv(rows)


def as_csv(rows: Sequence[Row]) -> str:
    """Return CSV text; cells that a spreadsheet would run as a formula are quoted with ``'``."""
    output = io.StringIO()
    if rows:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([[_harmless(value) for value in row.values()] for row in rows])
    return output.getvalue()


def cell(value: object) -> str:
    """Return a value as people read it; ``–`` for what is missing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 9_999.5 else f"{value:,.0f}"
    return ", ".join(map(cell, value)) if isinstance(value, list | tuple) else str(value)


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")  # csv leaves a lone \r unquoted: a row
    formula = value[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(value)
    return f"'{lines}" if formula else lines


def _print_table(rows: Sequence[Row], console: Console, columns: Sequence[str] | None) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        console.print("nothing to show")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    keys = list(columns or rows[0])
    for key in keys:
        numeric = any(isinstance(row[key], int | float) for row in rows)
        table.add_column(
            key.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric,
        )
    for row in rows:
        table.add_row(*(Text(cell(row[key])) for key in keys))
    console.print(table)
