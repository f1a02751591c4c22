"""Results by cell: one JSON line per training, only ever added to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training of one method on one task.

    Args:
        task: folder name of the data set.
        method: a registered name.
        rate: its learning rate.
        seed: of the training; the rows are the same for all seeds.
    """

    task: str
    method: str
    rate: float
    seed: int


class Cells:
    """The lines of a file, by cell; the last line of a cell counts.

    Args:
        file: JSON lines; made with the first result.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: dict[Cell, dict[str, Any]] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                values = json.loads(line)
                cell = Cell(**{name: values.pop(name) for name in Cell.__slots__})
                self._found[cell] = values

    def get(self, cell: Cell) -> dict[str, Any] | None:
        """Return what is known of a cell."""
        return self._found.get(cell)

    def add(self, cell: Cell, values: dict[str, Any]) -> None:
        """Keep a result, at once."""
        self._found[cell] = values
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({**asdict(cell), **values}, ensure_ascii=False) + "\n")

    def __iter__(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        return iter(self._found.items())
