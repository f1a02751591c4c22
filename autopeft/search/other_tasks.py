"""What candidates gained on other tasks, and the portfolio that follows from it.

Shipped as data, ``other_tasks.json`` beside this file: recorded trainings of the same candidates on
public tasks. From these each search makes its own portfolio, of what its space, its backbone and
its budget allow.

Paper: Feurer et al. (2022), Auto-Sklearn 2.0, for portfolios learnt greedily on other tasks; for
hypervolume in place of a score, Guerreiro et al. (2021).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopeft.errors import ConfigError, suggestion
from autopeft.records import Candidate
from autopeft.search.front import Point, area

FILE = Path(__file__).with_name("other_tasks.json")
"""Made by ``python -m benchmarks.search.learn``."""

PLACES = 16
"""Candidates in a portfolio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A candidate that was trained on other tasks.

    Args:
        candidate: what was trained.
        gains: by task, the share of the way from the head alone to the best of all candidates; a
            task is missing where the training failed.
    """

    candidate: Candidate
    gains: Mapping[str, float]

    @classmethod
    def from_json(cls, values: Mapping[str, Any], left_out: Collection[str] = ()) -> Seen:
        """Read what `to_json` wrote, some tasks left out."""
        gains = {task: gain for task, gain in values["gains"].items() if task not in left_out}
        return cls(candidate=Candidate.from_json(values["candidate"]), gains=gains)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        gains = {task: round(gain, 4) for task, gain in self.gains.items()}
        return {"candidate": self.candidate.to_json(), "gains": gains}


def read(file: Path = FILE, left_out: Collection[str] = ()) -> list[Seen]:
    """Return what was recorded on other tasks; nothing where there is no file.

    Args:
        file: that holds it.
        left_out: tasks that do not count, by any of their names.

    Raises:
        ConfigError: a task to be left out is not there.
    """
    content = _content(file)
    tasks = _names(content)
    unknown = sorted(set(left_out) - set(tasks))
    if unknown:
        raise ConfigError(f"--leave-out {unknown[0]!r}; {suggestion(unknown[0], tuple(tasks))}")
    dropped = {tasks[name] for name in left_out}
    return [Seen.from_json(one, dropped) for one in content.get("candidates", ())]


def tasks_of(file: Path = FILE) -> dict[str, str]:
    """Return the names of the recorded tasks, each with the one that it is recorded under."""
    return _names(_content(file))


def _names(content: Mapping[str, Any]) -> dict[str, str]:
    tasks = content.get("tasks", {})
    return {name: task for task, about in tasks.items() for name in (task, *about["also"])}


def _content(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def covering(
    gains: Sequence[Mapping[str, float]],
    sizes: Sequence[float],
    *,
    most: float,
    begun: Collection[int] = (),
    places: int = PLACES,
) -> list[int]:
    """Return which candidates together cover most, greedily, in order.

    Each next one adds most to the mean, over the tasks, of the normalised hypervolume of all so
    far. It ends early where none adds anything.

    Args:
        gains: of each candidate by task, see `Seen`.
        sizes: of each, ``log10(1 + trained parameters)``.
        most: up to which size there is anything to cover.
        begun: candidates that are trained in any case.
        places: how many at most.

    >>> covering([{"a": 1.0}, {"a": 0.9}, {"a": 0.5}], [3.0, 1.0, 2.0], most=4.0)
    [1, 0]
    """
    tasks = sorted({task for own in gains for task in own})
    points = [
        {
            task: Point(gain=own[task], size=size)
            for task in tasks
            if own.get(task, 0.0) > 0 and size <= most
        }
        for own, size in zip(gains, sizes, strict=True)
    ]

    def covered(task: str, chosen: Collection[int]) -> float:
        there = (points[i][task] for i in chosen if task in points[i])
        return area(there, floor=0.0, most=most)

    whole = {task: covered(task, range(len(points))) for task in tasks}
    tasks = [task for task in tasks if whole[task]]

    def value(chosen: Collection[int]) -> float:
        return sum(covered(task, chosen) / whole[task] for task in tasks)

    found: list[int] = []
    rest = [i for i in range(len(points)) if i not in begun]
    best = value(begun)
    while rest and len(found) < places:
        now, first = max((value([*begun, *found, i]), -i) for i in rest)
        if now <= best:
            break
        best = now
        found.append(-first)
        rest.remove(-first)
    return found
