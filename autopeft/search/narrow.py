"""Narrow a space to a backbone and a budget, before anything is trained.

Afterwards every choice that is left exists on the backbone, no two of them mean the same there, and
none is over the budget whatever is chosen beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from autopeft.errors import NoCandidateError
from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Scalar
from autopeft.search.dimension import Choices, Dimension, ends, fixed, nearest
from autopeft.search.layers import canonical, modules_named
from autopeft.search.load import method_space
from autopeft.search.space import SETTINGS, MethodSpace, Space


def restrict(
    space: Space,
    *,
    shape: BackboneShape,
    methods: tuple[str, ...] | None,
    excluded: Mapping[str, str],
    max_params: int | None,
) -> Space:
    """Return the space without what cannot run or is over the budget.

    Args:
        space: as read from a file.
        shape: the backbone.
        methods: keep only these; one that the file does not name comes with its record's defaults.
        excluded: methods that cannot run, with the reason.
        max_params: trained parameters without the head that a candidate may have.

    Raises:
        UnknownNameError: no such method.
        NoCandidateError: nothing is left; names the tightest limit and the nearest feasible point.
    """
    chosen = {name: METHODS.get(name, where="--methods") for name in methods or space.methods}
    kept: dict[str, MethodSpace] = {}
    reasons = dict(excluded)
    over: list[tuple[int, str]] = []
    for name, info in chosen.items():
        if name in excluded:
            continue
        wide = space.methods.get(name) or method_space(info, {}, {})
        fitted = _on_backbone(wide, shape)
        if fitted is None:
            reasons[name] = (
                f"none of its placements exists on {shape.layers} layers of {shape.architecture}"
            )
            continue
        least = fitted.count(shape, smallest(fitted, shape))
        if max_params is not None and least > max_params:
            over.append((least, fitted.candidate(smallest(fitted, shape)).describe()))
            reasons[name] = (
                f"trains at least {least:,} parameters; at most {max_params:,} are allowed"
            )
            continue
        kept[name] = fitted if max_params is None else _in_budget(fitted, shape, max_params)
    if not kept:
        raise NoCandidateError(_nothing(chosen, reasons, over, max_params))
    return dataclasses.replace(
        space, methods=kept, excluded=reasons, shape=shape, max_params=max_params
    )


def smallest(
    space: MethodSpace, shape: BackboneShape, given: Mapping[str, Scalar] | None = None
) -> dict[str, Scalar]:
    """Return the values with the fewest parameters, with those in `given` held.

    One dimension after the other, twice: exact where parameters grow with each dimension whatever
    the others are, which every formula in the registry does.
    """
    values = {**space.defaults, **(given or {})}
    free = [n for n in space.dimensions if n not in SETTINGS and n not in (given or {})]
    for name in free * 2:
        options = [{**values, name: end} for end in ends(space.dimensions[name])]
        values = min(options, key=lambda option: space.count(shape, option))
    return values


def _on_backbone(space: MethodSpace, shape: BackboneShape) -> MethodSpace | None:
    if "sites" not in space.dimensions:
        return space
    sites: dict[tuple[str, ...], Scalar] = {}
    for joined in _first(space, "sites"):
        names = modules_named(shape, tuple(str(joined).split(",")))
        if names:
            sites.setdefault(names, joined)
    rules = {canonical(str(rule), shape.layers): None for rule in _first(space, "layers")}
    layers = tuple(rule for rule in rules if rule is not None)
    if not sites or not layers:
        return None
    return _replace(
        space, sites=Choices(values=tuple(sites.values())), layers=Choices(values=layers)
    )


def _first(space: MethodSpace, name: str) -> tuple[Scalar, ...]:
    """Return the choices with the default first, so that of equals the default stays."""
    values = ends(space.dimensions[name])
    default = space.defaults[name]
    return (default, *(value for value in values if value != default))


def _in_budget(space: MethodSpace, shape: BackboneShape, max_params: int) -> MethodSpace:
    def fits(name: str, value: Scalar) -> bool:
        return space.count(shape, smallest(space, shape, {name: value})) <= max_params

    trimmed: dict[str, Dimension] = {}
    for name, dimension in space.dimensions.items():
        if name in SETTINGS or fixed(dimension):
            continue
        if isinstance(dimension, Choices):
            trimmed[name] = Choices(values=tuple(v for v in dimension.values if fits(name, v)))
        elif dimension.whole:
            low, high = int(dimension.low), int(dimension.high)
            while not fits(name, high) and high > low:
                high = (low + high) // 2
            trimmed[name] = dataclasses.replace(dimension, high=high)
    space = _replace(space, **trimmed)
    if space.count(shape, space.defaults) > max_params:
        return dataclasses.replace(space, defaults=smallest(space, shape))
    return space


def _replace(space: MethodSpace, **dimensions: Dimension) -> MethodSpace:
    merged = {**space.dimensions, **dimensions}
    defaults = {name: nearest(merged[name], value) for name, value in space.defaults.items()}
    return dataclasses.replace(space, dimensions=merged, defaults=defaults)


def _nothing(
    chosen: Mapping[str, object],
    reasons: Mapping[str, str],
    over: list[tuple[int, str]],
    max_params: int | None,
) -> str:
    lines = [f"{name}: {reasons[name]}" for name in chosen]
    if over:
        least, nearest_candidate = min(over)
        head = (
            f"no candidate trains at most {max_params:,} parameters; the nearest is "
            f"{nearest_candidate} with {least:,}: allow --max-params {least}"
        )
    else:
        head = "no method of the space can run on this backbone; choose others with --methods"
    return "\n  - ".join([head, *lines])
