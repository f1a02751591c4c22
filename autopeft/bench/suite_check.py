"""What a suite file may say; every fault names its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from autopeft.config import duration
from autopeft.errors import AutoPeftError
from autopeft.methods import METHODS, Knob
from autopeft.plain_yaml import kind, show, unknown
from autopeft.search.space_check import value_faults
from autopeft.search.spaces import find_space

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSetting:
    """A key of a suite file.

    Args:
        default: what holds where it is left out; None where it has to be given, or may be missing.
        help: what it does, in a phrase.
    """

    default: Any
    help: str


SETTINGS = {
    "description": SuiteSetting(default=None, help="one sentence for people"),
    "tasks": SuiteSetting(
        default=None,
        help="data sets: folders of the data root, or names with a path, `demo`, `demo:bbc` or "
        "`demo:imdb`; needed",
    ),
    "backbones": SuiteSetting(
        default=None,
        help="names with `demo` (MiniLM), a folder of the model root, a path or a hub name; needed",
    ),
    "methods": SuiteSetting(default=None, help="`all`, or a list of methods; needed"),
    "variants": SuiteSetting(
        default=None, help="further rows: a name with a `method` and knobs of it"
    ),
    "policies": SuiteSetting(
        default=None,
        help="searches: a name with the `space` to search in, and a `time_limit` if it should be "
        "less than all single methods took",
    ),
    "seeds": SuiteSetting(default=[0, 1, 2], help="of trainings; the first one chooses the rate"),
    "rates": SuiteSetting(
        default=["1/3", 1, 3], help="learning rates, as factors of the median of a method's prior"
    ),
    "examples": SuiteSetting(default=[1_000], help="rows to train on, of each a table of its own"),
    "selection": SuiteSetting(default=500, help="rows to select by"),
    "test": SuiteSetting(default=2_000, help="rows to test on, where there are so many"),
    "epochs": SuiteSetting(
        default=5, help="passes over the rows to train on; also by their number, `{100: 20}`"
    ),
    "max_length": SuiteSetting(default=128, help="longest input in tokens; longer ones are cut"),
}
"""Every key, in the order that one would write them."""


def check(raw: object) -> list[str]:
    """Return every fault of a file's plain values, each beginning with its place."""
    return list(_file(raw))


def _file(raw: object) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield f"is a {kind(raw)}; write keys such as 'tasks:'"
        return
    yield from unknown(raw, tuple(SETTINGS), "", "key")
    if not isinstance(raw.get("description", ""), str):
        yield "description: write one sentence"
    for key in ("tasks", "backbones"):
        yield from _places(raw.get(key), key)
    yield from _methods(raw.get("methods"))
    yield from _variants(raw.get("variants", {}))
    yield from _policies(raw.get("policies", {}))
    yield from _same_names(raw)
    for key, least in (("seeds", 0), ("examples", 2)):
        yield from _numbers(raw.get(key, SETTINGS[key].default), key, least)
    yield from _rates(raw.get("rates", SETTINGS["rates"].default))
    for key in ("selection", "test", "max_length"):
        yield from _number(raw.get(key, SETTINGS[key].default), key, 1)
    yield from _epochs(raw)


def _places(given: object, key: str) -> Iterator[str]:
    if not isinstance(given, dict | list) or not given:
        yield f"{key}: is a {kind(given)}; give a list of names, or 'NAME: PLACE' lines"
        return
    for name in given:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{key}: {show(name)}; a name has letters, digits, '_', '.' and '-'"
        elif isinstance(given, dict) and not (isinstance(given[name], str) and given[name]):
            yield f"{key}.{name}: {show(given[name])}; say where it is"
    if isinstance(given, list):
        yield from _twice(given, key)


def _methods(given: object) -> Iterator[str]:
    if given == "all":
        return
    if not isinstance(given, list) or not given:
        yield f"methods: is a {kind(given)}; write 'all' or a list; see: autopeft methods"
        return
    for index, name in enumerate(given):
        if not isinstance(name, str):
            yield f"methods[{index}]: {show(name)}; a method is a name, settings go to variants"
        elif name not in METHODS:
            yield from unknown({name: None}, METHODS.names(), f"methods[{index}]", "method")
    yield from _twice(given, "methods")


def _variants(given: object) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"variants: is a {kind(given)}; write a name with 'method:' and knobs below it"
        return
    for name, about in given.items():
        place = f"variants.{name}"
        if not isinstance(about, dict) or about.get("method") not in METHODS:
            yield f"{place}: name a method; see: autopeft methods"
            continue
        info = METHODS.get(about["method"])
        knobs = {knob: value for knob, value in about.items() if knob != "method"}
        yield from unknown(knobs, tuple(info.knobs), place, "knob")
        for knob, value in knobs.items():
            if knob in info.knobs and not _between_choices(value, info.knobs[knob]):
                yield from value_faults(value, f"{place}.{knob}", info.knobs[knob])


def _between_choices(value: object, knob: Knob) -> bool:
    """Whether a size lies between those that a search would choose from; it can be trained."""
    sizes = [size for size in knob.choices or () if type(size) is int]
    return type(value) is int and bool(sizes) and min(sizes) <= value <= max(sizes)


def _policies(given: object) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"policies: is a {kind(given)}; write a name with 'space:' below it"
        return
    for name, about in given.items():
        place = f"policies.{name}"
        if not isinstance(about, dict) or not isinstance(about.get("space"), str):
            yield f"{place}: name the space to search in, such as 'space: default'"
            continue
        yield from unknown(about, ("space", "time_limit"), place, "key")
        try:
            duration(about.get("time_limit", 1))
        except ValueError as error:
            yield f"{place}.time_limit: {error}"
        try:
            find_space(about["space"])
        except AutoPeftError as error:
            yield f"{place}.space: {error}"


def _same_names(raw: Mapping[Any, Any]) -> Iterator[str]:
    """Yield a fault for every name that two rows of the board would have."""
    methods = raw.get("methods")
    rows = list(METHODS.names()) if methods == "all" else _listed(methods)
    for key in ("variants", "policies"):
        given = raw.get(key, {})
        for name in given if isinstance(given, dict) else ():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                yield f"{key}: {show(name)}; a name has letters, digits, '_', '.' and '-'"
            if name in rows:
                yield f"{key}.{name}: another row is called {name}; choose another name"
            rows.append(name)


def _rates(given: object) -> Iterator[str]:
    if not isinstance(given, list) or not given:
        yield f"rates: is a {kind(given)}; give a list of factors, such as [1/3, 1, 3]"
        return
    for index, factor in enumerate(given):
        try:
            right = not isinstance(factor, bool) and Fraction(str(factor)) > 0
        except (ValueError, ZeroDivisionError):
            right = False
        if not right:
            yield f"rates[{index}]: {show(factor)}; allowed: a number above 0, such as 1/3 or 3"
    yield from _twice(given, "rates")


def _epochs(raw: Mapping[Any, Any]) -> Iterator[str]:
    given = raw.get("epochs", SETTINGS["epochs"].default)
    if not isinstance(given, dict):
        yield from _number(given, "epochs", 1)
        return
    for size, epochs in given.items():
        yield from _number(epochs, f"epochs.{size}", 1)
    examples = raw.get("examples", SETTINGS["examples"].default)
    for size in _listed(examples):
        if isinstance(size, int) and size not in given:
            yield f"epochs: says nothing of {size} examples; give a number for each"


def _numbers(given: object, key: str, least: int) -> Iterator[str]:
    if not isinstance(given, list) or not given:
        yield f"{key}: is a {kind(given)}; give a list of whole numbers"
        return
    for index, value in enumerate(given):
        yield from _number(value, f"{key}[{index}]", least)
    yield from _twice(given, key)


def _number(value: object, place: str, least: int) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield f"{place}: {show(value)}; allowed: a whole number from {least}"


def _twice(given: list[Any], place: str) -> Iterator[str]:
    for index, value in enumerate(given):
        if value in given[:index]:
            yield f"{place}[{index}]: {show(value)} is listed twice"


def _listed(given: object) -> list[Any]:
    return list(given) if isinstance(given, list) else []
