"""Results by cell: one JSON line per training or search, only ever added to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autopeft.bench.lines import add_line, whole_lines
from autopeft.bench.suite import Policy
from autopeft.errors import UsageError
from autopeft.records import Candidate

Key = tuple[str, int]


class Cell(NamedTuple):
    """One training on the rows and the backbone of a file.

    Attributes:
        candidate: what is trained.
        seed: of the head, the adapter, dropout and the order of the rows.
    """

    candidate: Candidate
    seed: int


class Searched(NamedTuple):
    """One search on the rows and the backbone of a file.

    Attributes:
        policy: the name it goes by.
        space: it searches in.
        seed: of the search.
        time_limit: of the policy, in seconds.
    """

    policy: str
    space: str
    seed: int
    time_limit: float = math.inf

    @classmethod
    def of(cls, policy: Policy, seed: int) -> Searched:
        """Return the cell of a policy under a seed."""
        return cls(policy.name, policy.space, seed, policy.limit_seconds)


class Cells:
    """The lines of a file, by cell; the last line of a cell counts.

    The first line tells the rows and the backbone, which all cells share.

    Args:
        file: JSON lines; made with the first result.
        about: what the first line says, or has to say.

    Raises:
        UsageError: the file is about other rows or another backbone.
    """

    def __init__(self, file: Path, about: Mapping[str, Any] | None = None) -> None:
        self.file = file
        self._trained: dict[Key, tuple[Cell, dict[str, Any]]] = {}
        self._searched: dict[Searched, dict[str, Any]] = {}
        lines = whole_lines(file)
        self.about: Mapping[str, Any] = json.loads(lines[0]) if lines else (about or {})
        if about is not None and about != self.about:
            other = sorted(k for k in {*about, *self.about} if about.get(k) != self.about.get(k))
            raise UsageError(f"{file} has results of other {', '.join(other)}; name another file")
        for text in lines[1:]:
            line = json.loads(text)
            self._keep(_cell(line), line)

    def get(self, cell: Cell | Searched) -> dict[str, Any] | None:
        """Return what is known of a cell."""
        if isinstance(cell, Searched):
            return self._searched.get(cell) or self._within(cell)
        return self._trained.get(_key(cell), (cell, None))[1]

    def _within(self, cell: Searched) -> dict[str, Any] | None:
        """Return the search without a limit if this one would not have cut it."""
        line = self._searched.get(cell._replace(time_limit=math.inf))
        return line if line and line.get("limit_seconds", math.inf) <= cell.time_limit else None

    def add(self, cell: Cell | Searched, values: Mapping[str, Any]) -> None:
        """Keep a result, at once; several processes may add to one file."""
        line = {**_said(cell), **values}
        add_line(self.file, line, first=self.about)
        self._keep(cell, line)

    def _keep(self, cell: Cell | Searched, line: dict[str, Any]) -> None:
        if isinstance(cell, Searched):
            self._searched[cell] = line
        else:
            self._trained[_key(cell)] = (cell, line)

    def __iter__(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Yield the trainings; searches are asked for with `get`."""
        return iter(self._trained.values())


def _key(cell: Cell) -> Key:
    return cell.candidate.fingerprint, cell.seed


def _said(cell: Cell | Searched) -> dict[str, Any]:
    """Return how a line begins."""
    if isinstance(cell, Searched):
        limit = {"time_limit": cell.time_limit} if math.isfinite(cell.time_limit) else {}
        return {"seed": cell.seed, "policy": {"name": cell.policy, "space": cell.space, **limit}}
    return {"seed": cell.seed, "candidate": cell.candidate.to_json()}


def _cell(line: Mapping[str, Any]) -> Cell | Searched:
    """Return what a line is about."""
    if "policy" in line:
        about = line["policy"]
        limit = about.get("time_limit", math.inf)
        return Searched(about["name"], about["space"], line["seed"], limit)
    return Cell(Candidate.from_json(line["candidate"]), line["seed"])
