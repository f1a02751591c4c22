"""What a space file may say, checked against the registries; every fault names its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from autopeft.errors import suggestion
from autopeft.methods import METHODS, Knob, MethodInfo
from autopeft.plain_yaml import kind, show, unknown
from autopeft.records import BLOCK_SITES, LAYER_RULES, SITES, Scalar
from autopeft.search.dimension import contains, of_knob, same, whole
from autopeft.search.layers import MASK, is_rule

TRAINING = {
    "learning_rate": Knob(
        default=1e-3, low=1e-7, high=10.0, log=True, help="peak learning rate of AdamW"
    ),
    "epochs": Knob(default=3, low=1, high=1000, help="passes over the training split"),
    "batch_size": Knob(default=16, low=1, high=4096, help="examples per optimizer step"),
}
"""Settings that every method has; described like knobs, so that they are checked like knobs."""

MIN_STEPS = Knob(
    default=1,
    low=1,
    high=100_000,
    help="optimizer steps that a training has at least; with few rows it gets more epochs",
)
"""A setting of the whole file, one whole number."""

TOP_KEYS = ("description", "include", "methods", "placement", "epochs", "min_steps", "batch_size")


def check(raw: object) -> list[str]:
    """Return every fault of one file's plain values, each beginning with its place."""
    return list(_file(raw))


def _file(raw: object) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield f"is a {kind(raw)}; write keys such as 'methods:'"
        return
    yield from unknown(raw, TOP_KEYS, "", "key")
    if not isinstance(raw.get("description", ""), str):
        yield "description: write one sentence"
    included = raw.get("include", [])
    if not all(
        isinstance(n, str) for n in (included if isinstance(included, list) else [included])
    ):
        yield f"include: {show(included)}; give a shipped name, a path, or a list of them"
    for key in ("epochs", "batch_size"):
        if key in raw:
            yield from _setting(raw[key], key, TRAINING[key])
    if "min_steps" in raw:
        yield from value_faults(raw["min_steps"], "min_steps", MIN_STEPS)
    if "placement" in raw:
        yield from _placement(raw["placement"], "placement", (*SITES, *BLOCK_SITES))
    yield from _methods(raw.get("methods", {}), needed=not raw.get("include"))


def _methods(methods: object, *, needed: bool) -> Iterator[str]:
    if not isinstance(methods, dict):
        yield f"methods: is a {kind(methods)}; write one line per method, such as 'lora:'"
        return
    if needed and not methods:
        yield "methods: names none; see: autopeft methods"
    strange = {name: given for name, given in methods.items() if name not in METHODS}
    known = METHODS.names() + (METHODS.further() if strange else ())
    yield from unknown(strange, known, "methods", "method")
    for name in sorted(methods.keys() - strange.keys()):
        yield from _method(methods[name], f"methods.{name}", METHODS.get(name))


def _method(given: object, place: str, info: MethodInfo) -> Iterator[str]:
    if given is None:
        return
    if not isinstance(given, dict):
        yield f"{place}: is a {kind(given)}; leave it empty or write its knobs below it"
        return
    settings = {**TRAINING, **info.knobs}
    yield from unknown(given, (*info.knobs, *TRAINING, "placement"), place, "knob")
    for name, value in given.items():
        if name in settings:
            yield from _setting(value, f"{place}.{name}", settings[name])
    if "placement" in given:
        if info.placement is None:
            yield f"{place}.placement: {info.name} has no sites to choose; remove it"
        else:
            yield from _placement(given["placement"], f"{place}.placement", info.sites)


def _setting(given: object, place: str, knob: Knob) -> Iterator[str]:
    if isinstance(given, dict):
        yield from _range(given, place, knob)
    elif isinstance(given, list):
        if not given:
            yield f"{place}: an empty list; give at least one value"
        for index, value in enumerate(given):
            yield from value_faults(value, f"{place}[{index}]", knob)
            if any(_alike(value, other) for other in given[:index]):
                yield f"{place}[{index}]: {show(value)} is listed twice"
    else:
        yield from value_faults(given, place, knob)


def _range(given: Mapping[Any, Any], place: str, knob: Knob) -> Iterator[str]:
    if knob.low is None or knob.high is None:
        yield f"{place}: takes no range; allowed: {_allowed(knob)}"
        return
    yield from unknown(given, ("low", "high", "log"), place, "key")
    faults: list[str] = []
    for end in ("low", "high"):
        if end not in given:
            faults.append(f"{place}: a range needs low and high; {end} is missing")
        else:
            faults += value_faults(given[end], f"{place}.{end}", knob)
    yield from faults
    if not isinstance(given.get("log", False), bool):
        yield f"{place}.log: {show(given['log'])}; allowed: true, false"
    if not faults and given["low"] > given["high"]:
        yield f"{place}: low {given['low']} is above high {given['high']}"
    if not faults and given.get("log") is True and given["low"] <= 0:
        yield f"{place}: a logarithmic range starts above 0, not at {given['low']}"


def value_faults(value: object, place: str, knob: Knob) -> Iterator[str]:
    """Yield a fault if a value is not one that a knob may have."""
    wrong = f"{place}: {show(value)}; allowed: {_allowed(knob)}"
    if knob.choices is not None:
        if not any(_alike(value, choice) for choice in knob.choices):
            yield wrong
    elif knob.low is None or knob.high is None:
        if type(value) is not type(knob.default):
            yield wrong
    elif isinstance(value, str) or not _scalar(value) or not contains(of_knob(knob), value):
        yield wrong


def _placement(given: object, place: str, sites: Sequence[str]) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"{place}: is a {kind(given)}; write 'sites:' and 'layers:' below it"
        return
    yield from unknown(given, ("sites", "layers"), place, "key")
    if "sites" in given:
        yield from _site_sets(given["sites"], f"{place}.sites", sites)
    if "layers" in given:
        rules = given["layers"] if isinstance(given["layers"], list) else [given["layers"]]
        if not rules:
            yield f"{place}.layers: an empty list; give at least one rule"
        for rule in rules:
            if rule == MASK and len(rules) > 1:
                yield f"{place}.layers: {MASK} means any set of layers; it stands alone"
            elif rule != MASK and not (isinstance(rule, str) and is_rule(rule)):
                yield f"{place}.layers: {show(rule)}; allowed: {LAYER_RULES}, or just {MASK}"


def _site_sets(given: object, place: str, sites: Sequence[str]) -> Iterator[str]:
    if not (isinstance(given, list) and given and all(isinstance(s, list) and s for s in given)):
        yield f"{place}: {show(given)}; give a list of site lists, such as [[attn.q, attn.v]]"
        return
    for index, chosen in enumerate(given):
        for site in chosen:
            if site not in sites:
                near = suggestion(str(site), sites)
                yield f"{place}[{index}]: unknown site {show(site)}; {near}"


def _alike(one: object, other: object) -> bool:
    return _scalar(one) and _scalar(other) and same(one, other)


def _scalar(value: object) -> TypeGuard[Scalar]:
    return isinstance(value, bool | int | float | str)


def _allowed(knob: Knob) -> str:
    if knob.choices is not None:
        return ", ".join(str(choice) for choice in knob.choices)
    if knob.low is None or knob.high is None:
        return f"a {type(knob.default).__name__}, such as {knob.default!r}"
    return f"{'an integer' if whole(knob) else 'a number'} from {knob.low:g} to {knob.high:g}"
