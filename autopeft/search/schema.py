"""The JSON schema of a space file, made from the registries: editors complete and check with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autopeft.methods import METHODS, Knob, MethodInfo
from autopeft.records import BLOCK_SITES, SITES
from autopeft.search.dimension import whole
from autopeft.search.layers import MASK
from autopeft.search.space_check import MIN_STEPS, TRAINING

LAYER_RULE = r"^(all|(top|bottom):[1-9]\d*|\d+-\d+|mask:[01]*1[01]*)$"


def schema() -> dict[str, Any]:
    """Return the JSON schema of a space file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AutoPEFT search space",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "description": "one sentence for people"},
            "include": {
                "description": "a shipped space or a file beside this one, laid beneath it",
                **_one_or_more({"type": "string"}),
            },
            "methods": {
                "type": "object",
                "description": "in the order of trial; an empty entry takes the record's defaults",
                "additionalProperties": False,
                "properties": {info.name: _method(info) for info in METHODS},
                "patternProperties": {_further(): {"type": ["object", "null"]}},
            },
            "placement": _placement((*SITES, *BLOCK_SITES)),
            "epochs": _setting(TRAINING["epochs"]),
            "min_steps": {
                "description": MIN_STEPS.help,
                "default": MIN_STEPS.default,
                **_value(MIN_STEPS),
            },
            "batch_size": _setting(TRAINING["batch_size"]),
        },
    }


def _further() -> str:
    """Return the pattern of the methods whose knobs are known only once they are asked for."""
    return f"^({'|'.join(METHODS.further())})$"


def _method(info: MethodInfo) -> dict[str, Any]:
    settings = {**info.knobs, **TRAINING}
    properties = {name: _setting(knob) for name, knob in settings.items()}
    if info.placement is not None:
        properties["placement"] = _placement(info.sites)
    return {
        "type": ["object", "null"],
        "description": f"{info.description}. {info.paper}",
        "additionalProperties": False,
        "properties": properties,
    }


def _setting(knob: Knob) -> dict[str, Any]:
    value = _value(knob)
    shapes: list[dict[str, Any]] = [value, _several(value)]
    if knob.low is not None and knob.high is not None:
        shapes.append(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["low", "high"],
                "properties": {"low": value, "high": value, "log": {"type": "boolean"}},
            }
        )
    return {"description": knob.help, "default": knob.default, "anyOf": shapes}


def _value(knob: Knob) -> dict[str, Any]:
    if knob.choices is not None:
        return {"enum": list(knob.choices)}
    if knob.low is None or knob.high is None:
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
        return {"type": kinds[type(knob.default)]}
    kind = "integer" if whole(knob) else "number"
    return {"type": kind, "minimum": knob.low, "maximum": knob.high}


def _placement(sites: Sequence[str]) -> dict[str, Any]:
    rule = {"type": "string", "pattern": LAYER_RULE}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "sites": _several(_several({"enum": list(sites)})),
            "layers": {
                "description": f"rules, or {MASK!r}: every layer is chosen or not, one by one",
                "anyOf": [{"const": MASK}, _one_or_more(rule)],
            },
        },
    }


def _several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


def _one_or_more(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, _several(item)]}
