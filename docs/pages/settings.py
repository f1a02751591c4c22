"""The page of settings: what a user may set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from autopeft.bench.suite_check import SETTINGS
from autopeft.config import SearchConfig
from autopeft.search.space_check import TRAINING
from docs.pages.markdown import plain, table
from docs.pages.methods import knob_range


def settings() -> Iterator[str]:
    """Yield the lines of settings.md."""
    yield from (
        "# Settings",
        "",
        "The options of `autopeft search` are the keyword arguments of `autopeft.search` and the",
        "fields of `autopeft.config.SearchConfig`. A run's *identity* is what must be the same to",
        "resume it: the settings marked here, the data, the model and the space.",
        "",
    )
    yield from table(
        ("option", "Python", "default", "identity", "what it does"),
        (
            (
                f"`{option}`",
                f"`{field.name}`",
                "" if field.default is None or field.default is False else f"`{field.default}`",
                "yes" if field.metadata["identity"] else "",
                field.metadata["help"],
            )
            for field in dataclasses.fields(SearchConfig)
            for option in [_option(field)]
        ),
    )
    yield from (
        "",
        "## Settings of a training",
        "",
        "Every method has these beside its knobs; a search space may give them values or ranges",
        "([spaces.md](spaces.md)).",
        "",
    )
    yield from table(
        ("setting", "what it is", "default", "range"),
        (
            (
                f"`{name}`",
                knob.help,
                "the method's prior" if name == "learning_rate" else plain(knob.default),
                knob_range(knob),
            )
            for name, knob in TRAINING.items()
        ),
    )
    yield from _suite()


def _suite() -> Iterator[str]:
    yield from (
        "",
        "## Settings of a suite",
        "",
        "The keys of a suite's YAML file ([suites.md](suites.md)).",
        "",
    )
    yield from table(
        ("key", "default", "what it is"),
        (
            (f"`{name}`", "" if about.default is None else _yaml(about.default), about.help)
            for name, about in SETTINGS.items()
        ),
    )


def _yaml(value: object) -> str:
    listed = isinstance(value, list)
    return f"`[{', '.join(map(str, value))}]`" if listed else f"`{value}`"


def _option(field: dataclasses.Field[object]) -> str:
    metavar = "" if isinstance(field.default, bool) else f" {field.metadata['metavar'] or 'VALUE'}"
    short = f"{field.metadata['short']}, " if field.metadata["short"] else ""
    return f"{short}--{field.name.replace('_', '-')}{metavar}"
