"""From the checked values of a YAML file to a `Space`; what is left out comes from the records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.methods import METHODS, Knob, MethodInfo
from autopeft.records import BLOCK_SITES, Scalar
from autopeft.search.dimension import (
    Choices,
    Dimension,
    Mask,
    Range,
    ends,
    nearest,
    of_knob,
    typed,
    whole,
)
from autopeft.search.layers import MASK
from autopeft.search.space import MethodSpace, Space
from autopeft.search.space_check import MIN_STEPS, TRAINING
from autopeft.search.space_file import read_space
from autopeft.search.spaces import find_space

COMMON = ("epochs", "batch_size", "placement")
"""Keys of a file that are for all its methods."""


def load_space(name_or_path: str | Path) -> Space:
    """Read a space by shipped name or by path.

    Raises:
        UnknownNameError: no shipped space of that name.
        SpaceError: all faults of the file together.
    """
    path = find_space(name_or_path)
    raw = read_space(path)
    return Space(
        source=str(name_or_path),
        description=raw.get("description", ""),
        min_steps=raw.get("min_steps", MIN_STEPS.default),
        common={key: raw[key] for key in COMMON if key in raw},
        methods={
            name: method_space(METHODS.get(name), given or {}, raw)
            for name, given in raw["methods"].items()
        },
    )


def method_space(
    info: MethodInfo, given: Mapping[str, Any], common: Mapping[str, Any]
) -> MethodSpace:
    """Return the dimensions of a method.

    Args:
        info: the method's record.
        given: what the file says under the method's name.
        common: what the file says for all methods: epochs, batch_size, placement.
    """
    dimensions: dict[str, Dimension] = {
        name: _dimension(given[name], knob) if name in given else of_knob(knob)
        for name, knob in info.knobs.items()
    }
    wanted: dict[str, Scalar] = {name: knob.default for name, knob in info.knobs.items()}
    if info.placement is not None:
        own, shared = given.get("placement", {}), common.get("placement", {})
        dimensions["sites"] = Choices(values=_sites(info, own, shared))
        rules = own.get("layers", shared.get("layers", info.placement.layers))
        rules = _listed(rules)
        dimensions["layers"] = Mask() if rules == [MASK] else Choices(values=_unique(rules))
        wanted |= {"sites": ",".join(info.placement.sites), "layers": info.placement.layers}
    dimensions["learning_rate"] = _learning_rate(info, given)
    for name in ("epochs", "batch_size"):
        setting = TRAINING[name]
        dimensions[name] = _dimension(given.get(name, common.get(name, setting.default)), setting)
    wanted["learning_rate"] = info.learning_rate.median
    wanted["batch_size"] = TRAINING["batch_size"].default
    wanted["epochs"] = max(int(end) for end in ends(dimensions["epochs"]))
    defaults = {name: nearest(dimension, wanted[name]) for name, dimension in dimensions.items()}
    return MethodSpace(info=info, dimensions=dimensions, defaults=defaults)


def _learning_rate(info: MethodInfo, given: Mapping[str, Any]) -> Dimension:
    if "learning_rate" in given:
        return _dimension(given["learning_rate"], TRAINING["learning_rate"])
    prior = info.learning_rate
    return Range(low=prior.median / prior.spread, high=prior.median * prior.spread, log=True)


def _dimension(given: Any, knob: Knob) -> Dimension:
    if isinstance(given, dict):
        log = given.get("log", knob.log)
        return Range(low=given["low"], high=given["high"], log=log, whole=whole(knob))
    return Choices(values=tuple(typed(value, knob) for value in _listed(given)))


def _sites(
    info: MethodInfo, own: Mapping[str, Any], shared: Mapping[str, Any]
) -> tuple[Scalar, ...]:
    """Return the site sets of a method; shared ones only where the method can be put there.

    Shared modules are no place for a method of blocks, though one of its parts may sit there.
    """
    assert info.placement is not None
    if "sites" in own:
        return _unique(",".join(sites) for sites in own["sites"])
    blocks = set(BLOCK_SITES)
    fitting = [
        sites
        for sites in shared.get("sites", [])
        if set(sites) <= set(info.sites)
        and bool(blocks & set(sites)) == bool(blocks & set(info.placement.sites))
    ]
    return _unique(",".join(sites) for sites in (info.placement.sites, *fitting))


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _unique(values: Any) -> tuple[Scalar, ...]:
    return tuple(dict.fromkeys(values))
