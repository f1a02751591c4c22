"""What a user may set, described once.

Every field of `SearchConfig` carries its sentence, its parser and whether it is part of a run's
identity. The command line's options, the API's keyword arguments, their help and the check on
resuming are all derived from here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopeft.errors import ConfigError, suggestion

WITHIN = ("0", "1se", "2se", "0.5pt", "1se,0.5pt")
"""How far below the best the choice may be; see `autopeft.search.select`."""

USUAL_WITHIN = "1se,0.5pt"
"""Half a point at most, where a standard error is more: docs/decisions/010-choosing.md."""

LOGGERS = ("tensorboard", "mlflow", "wandb")
"""Experiment trackers; see `autopeft.api.tracking`."""

UNTIL = ("converged",)
"""What may end a search before its budget does; see `autopeft.search.convergence`."""

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_BYTES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def duration(text: str | float) -> float:
    """Return seconds from ``90``, ``"90s"``, ``"3m"``, ``"1.5h"`` or ``"1d"``."""
    return _quantity(text, _SECONDS, "a duration such as 90s, 3m or 1.5h")


def count(text: str | float) -> int:
    """Return a whole number from ``300000``, ``"300k"`` or ``"1.2M"``."""
    return _whole(text, _COUNTS, "a count such as 300000, 300k or 1.2M")


def byte_size(text: str | float) -> int:
    """Return bytes from ``2000000000``, ``"2GB"`` or ``"512MiB"``."""
    return _whole(text, _BYTES, "a size such as 2GB or 512MiB")


def name_list(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return names from ``"a,b"`` or a list."""
    parts = text.split(",") if isinstance(text, str) else text
    names = tuple(part.strip() for part in parts if part.strip())
    if not names:
        raise ValueError("needs at least one name")
    return names


def path_list(value: str | Path | tuple[str | Path, ...] | list[str | Path]) -> tuple[Path, ...]:
    """Return paths from ``"a,b"``, a path or a list."""
    if isinstance(value, str):
        return tuple(map(Path, name_list(value)))
    return (value,) if isinstance(value, Path) else tuple(map(Path, value))


def _quantity(text: str | float, units: Mapping[str, float], allowed: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE]\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = match[2].lower() if match else ""
    if match is None or unit not in units:
        raise ValueError(f"{text!r} is not {allowed}")
    value = float(match[1]) * units[unit]
    if value <= 0:
        raise ValueError(f"{text!r} is not positive; give {allowed}")
    return value


def _whole(text: str | float, units: Mapping[str, float], allowed: str) -> int:
    value = int(_quantity(text, units, allowed))
    if not value:
        raise ValueError(f"{text!r} is below 1; give {allowed}")
    return value


def _at_least(low: int) -> Callable[[str | int], int]:
    """Return a parser of whole numbers from there on."""

    def parse(text: str | int) -> int:
        value = int(text)
        if value < low:
            raise ValueError(f"{text!r} is below {low}")
        return value

    return parse


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    """Return a parser that takes these words alone."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r}; {suggestion(text, allowed)}")
        return text

    return parse


def _setting(
    default: Any,
    about: str,
    *,
    parse: Callable[[Any], Any] = lambda value: value,
    identity: bool = False,
    short: str | None = None,
    metavar: str | None = None,
) -> Any:
    metadata = {
        "help": about,
        "parse": parse,
        "identity": identity,
        "short": short,
        "metavar": metavar,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """The settings of one search, parsed and checked."""

    output: Path | None = _setting(
        None,
        "Run folder; an existing one is resumed. Default: runs/<data>-<fingerprint>.",
        parse=Path,
        short="-o",
        metavar="DIR",
    )
    model: str | None = _setting(
        None,
        "Pretrained model: a folder or a hub name.",
        parse=str,
        identity=True,
        metavar="NAME",
    )
    task: str | None = _setting(
        None, "Task, if it should not be inferred. See: autopeft tasks.", identity=True
    )
    text: str | None = _setting(None, "Column that holds the text.", parse=str, identity=True)
    text_pair: str | None = _setting(
        None, "Column that holds the second text.", parse=str, identity=True
    )
    label: str | None = _setting(None, "Column that holds the label.", parse=str, identity=True)
    metric: str | None = _setting(
        None, "Metric to choose by. Default: the task's first.", identity=True
    )
    space: str | None = _setting(
        None,
        "Search space: the name of a shipped one or a YAML file. Default: default, or quick for a "
        "demo. See: autopeft spaces.",
        parse=str,
        identity=True,
    )
    methods: tuple[str, ...] | None = _setting(
        None,
        "Only these methods, separated by commas. See: autopeft methods.",
        parse=name_list,
        identity=True,
        metavar="A,B",
    )
    learn_from: tuple[Path, ...] | None = _setting(
        None,
        "Try first what did best in these earlier runs, separated by commas. A resume has to name "
        "them again.",
        parse=path_list,
        metavar="RUN,RUN",
    )
    leave_out: tuple[str, ...] = _setting(
        (),
        "Recorded tasks that say nothing of what to try first, separated by commas: those that the "
        "data comes from, where results are compared.",
        parse=name_list,
        identity=True,
        metavar="TASK,TASK",
    )
    time_limit: float | None = _setting(
        None,
        "Wall-clock limit for everything, such as 90s, 30m or 2h.",
        parse=duration,
        metavar="TIME",
    )
    trials: int | None = _setting(
        None,
        "Number of candidates to try, over all resumes. Default: 30, or no limit of their own "
        "where a time limit or --until is given.",
        parse=_at_least(1),
    )
    until: str | None = _setting(
        None,
        "Also end the search when it looks converged: when the next trials are expected to add "
        "next to nothing. The other limits hold all the same. Allowed: converged.",
        parse=_one_of(UNTIL),
        metavar="STATE",
    )
    max_params: int | None = _setting(
        None,
        "Most trained parameters a candidate may have, head apart, such as 300k.",
        parse=count,
        identity=True,
        metavar="COUNT",
    )
    max_memory: int | None = _setting(
        None,
        "Most memory a training process may take, such as 2GB.",
        parse=byte_size,
        identity=True,
        metavar="SIZE",
    )
    within: str = _setting(
        USUAL_WITHIN,
        "How far below the best the choice may be: 0, 1se, 2se, 0.5pt, or 1se,0.5pt for both.",
        parse=_one_of(WITHIN),
        metavar="RULE",
    )
    workers: int | None = _setting(
        None,
        "Training processes. Default: one per GPU, or one.",
        parse=_at_least(1),
    )
    seed: int = _setting(
        0, "Seed of the splits, the search and the training.", parse=_at_least(0), identity=True
    )
    max_length: int | None = _setting(
        None,
        "Longest input in tokens; longer ones are cut. Default: what the model takes, at most 512.",
        parse=_at_least(1),
        identity=True,
    )
    logger: str | None = _setting(
        None,
        "Also send every training to an experiment tracker: tensorboard, mlflow or wandb.",
        parse=_one_of(LOGGERS),
        metavar="KIND",
    )
    merge: bool = _setting(False, "Also write the merged model to RUN/merged.", parse=bool)
    fork: bool = _setting(
        False, "Start a new folder where the given one belongs to another run.", parse=bool
    )
    dry_run: bool = _setting(
        False, "Show the resolved settings and the candidates' prices, then stop.", parse=bool
    )
    debug: bool = _setting(False, "Show tracebacks and keep the workers' output.", parse=bool)

    @classmethod
    def build(cls, **values: object) -> SearchConfig:
        """Parse and check settings; None means the default.

        Raises:
            ConfigError: an unknown setting or a value outside its range; all faults at once.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        parsed: dict[str, Any] = {}
        faults: list[str] = []
        for name, value in values.items():
            if name not in fields:
                faults.append(f"unknown setting {name!r}; {suggestion(name, tuple(fields))}")
            elif value is not None:
                try:
                    parsed[name] = fields[name].metadata["parse"](value)
                except (TypeError, ValueError) as error:
                    faults.append(f"--{name.replace('_', '-')}: {error}")
        if faults:
            raise ConfigError("; ".join(faults))
        return cls(**parsed)

    def identity(self) -> dict[str, object]:
        """Return the settings that make a run this run: a resume must have the same."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }

    def to_json(self) -> dict[str, object]:
        """Return every setting as plain JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(map(_plain, value)) if isinstance(value, tuple) else value
