"""A suite: tasks × backbones × methods and search policies × seeds, read from YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from autopeft.bench.suite_check import SETTINGS, check
from autopeft.config import duration
from autopeft.errors import SuiteError, UnknownNameError
from autopeft.methods import METHODS
from autopeft.plain_yaml import parse
from autopeft.records import Candidate, Scalar
from autopeft.search.dimension import typed
from autopeft.shipped import shipped_yaml

FOLDER = "benchmarks/suites"
RATES = (1 / 3, 1.0, 3.0)
"""Of the median of a method's prior: the learning rates that it is tried with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A method as a row of the board.

    Args:
        name: that the row goes by.
        method: what is trained.
        knobs: those that differ from the method's defaults.
    """

    name: str
    method: str
    knobs: Mapping[str, Scalar] = field(default_factory=dict)

    def candidates(self, epochs: int, rates: Sequence[float] = RATES) -> list[Candidate]:
        """Return the method at each rate, a factor of the median of its prior."""
        info = METHODS.get(self.method)
        knobs = {knob: about.default for knob, about in info.knobs.items()}
        return [
            Candidate(
                method=self.method,
                learning_rate=float(f"{info.learning_rate.median * factor:.3g}"),
                epochs=epochs,
                knobs={**knobs, **self.knobs},
                placement=info.placement,
            )
            for factor in rates
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A search as a row of the board.

    Args:
        name: that the row goes by.
        space: it searches in.
        limit_seconds: of wall clock, where that is less than all single methods took.
    """

    name: str
    space: str
    limit_seconds: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What all rows of the board are compared on.

    Args:
        backbone: that is adapted.
        task: that is learnt.
        examples: rows to train on.
        epochs: of every training.
    """

    backbone: str
    task: str
    examples: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.backbone}/{self.task}, {self.examples:,} examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What is compared with what, on what.

    Args:
        name: of the shipped suite or the file.
        source: what names it in a command.
        description: one sentence for people.
        tasks: where each task's data is.
        backbones: where each backbone is.
        entries: methods, variants among them.
        policies: searches.
        epochs: of every training, by the number of rows to train on.
        rates: factors of the median of a method's prior.
        seeds: of trainings; the first chooses the rate.
        selection: rows to select by.
        test: most rows to test on.
        max_length: longest input in tokens.
    """

    name: str
    source: str
    description: str
    tasks: Mapping[str, str]
    backbones: Mapping[str, str]
    entries: tuple[Entry, ...]
    policies: tuple[Policy, ...]
    epochs: Mapping[int, int]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    selection: int
    test: int
    max_length: int

    def blocks(self) -> list[Block]:
        """Return every block, backbone by backbone."""
        return [
            Block(backbone=backbone, task=task, examples=examples, epochs=epochs)
            for backbone in self.backbones
            for examples, epochs in self.epochs.items()
            for task in self.tasks
        ]

    def rows(self) -> tuple[str, ...]:
        """Return the names of all rows of the board."""
        return (*(row.name for row in self.entries), *(row.name for row in self.policies))


def shipped_suites() -> dict[str, Path]:
    """Return the shipped suites by name."""
    return shipped_yaml(FOLDER)


def is_suite(text: str) -> bool:
    """Whether a word of the command line means a suite."""
    return text.endswith((".yaml", ".yml")) or text in shipped_suites()


def find_suite(name_or_path: str) -> Path:
    """Return the file of a suite.

    Raises:
        UnknownNameError: no shipped suite of that name.
        SuiteError: no such file.
    """
    shipped = shipped_suites()
    if name_or_path in shipped:
        return shipped[name_or_path]
    if not name_or_path.endswith((".yaml", ".yml")):
        raise UnknownNameError("suite", name_or_path, (*shipped, "FILE.yaml"))
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise SuiteError(name_or_path, [f"no such file; shipped suites: {', '.join(shipped)}"])
    return path


def load_suite(name_or_path: str) -> Suite:
    """Read a suite by shipped name or by path.

    Raises:
        UnknownNameError: no shipped suite of that name.
        SuiteError: all faults of the file together.
    """
    path = find_suite(name_or_path)
    faults: list[str] = []
    raw = parse(path, faults, empty="name tasks, backbones and methods")
    faults += check(raw) if raw is not None else []
    if faults:
        raise SuiteError(str(path), faults)
    return _suite(path.stem, name_or_path, raw)


def _suite(name: str, source: str, raw: Mapping[str, Any]) -> Suite:
    def given(key: str) -> Any:
        return raw.get(key, SETTINGS[key].default)

    examples = [int(size) for size in given("examples")]
    epochs = given("epochs")
    return Suite(
        name=name,
        source=source,
        description=raw.get("description", ""),
        tasks=_places(raw["tasks"]),
        backbones=_places(raw["backbones"]),
        entries=_entries(raw),
        policies=tuple(
            Policy(
                name=name,
                space=about["space"],
                limit_seconds=duration(about["time_limit"]) if "time_limit" in about else math.inf,
            )
            for name, about in raw.get("policies", {}).items()
        ),
        epochs={size: epochs[size] if isinstance(epochs, dict) else epochs for size in examples},
        rates=tuple(float(Fraction(str(factor))) for factor in given("rates")),
        seeds=tuple(given("seeds")),
        selection=given("selection"),
        test=given("test"),
        max_length=given("max_length"),
    )


def _places(given: Any) -> dict[str, str]:
    """Return where each lies; a list says that it lies in a folder of its name."""
    return dict(given) if isinstance(given, dict) else {name: name for name in given}


def _entries(raw: Mapping[str, Any]) -> tuple[Entry, ...]:
    names = METHODS.names() if raw["methods"] == "all" else raw["methods"]
    variants = raw.get("variants", {}).items()
    return (
        *(Entry(name=name, method=name) for name in names),
        *(_variant(name, **about) for name, about in variants),
    )


def _variant(name: str, method: str, **knobs: Scalar) -> Entry:
    info = METHODS.get(method)
    own = {knob: typed(value, info.knobs[knob]) for knob, value in knobs.items()}
    return Entry(name=name, method=method, knobs=own)
