"""Narrow a space to a backbone and a budget, before anything is trained.

Afterwards every choice that is left exists on the backbone, no two of them mean the same there, and
each can be trained within the budget beside some choice of everything else.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from autopeft.errors import IncompatibleMethodError, NoCandidateError
from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Scalar
from autopeft.search.dimension import Choices, Dimension, Mask, Range, ends, fixed, nearest
from autopeft.search.layers import canonical, places_named
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
        methods: keep only these; one that the file does not name is as its record has it, with what
            the file says of all methods.
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
        wide = space.methods.get(name) or method_space(info, {}, space.common)
        try:
            fitted = _possible(_on_backbone(wide, shape), shape)
        except IncompatibleMethodError as error:
            reasons[name] = str(error)
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


def lengthen(space: Space, rows: int) -> Space:
    """Return the space without trainings of fewer than its `min_steps` optimizer steps.

    They get as many more epochs as that takes with the method's largest batches.

    Args:
        space: of any backbone.
        rows: to train on.
    """
    methods = {}
    for name, method in space.methods.items():
        largest = max(int(end) for end in ends(method.dimensions["batch_size"]))
        steps = math.ceil(rows / largest)
        methods[name] = _longer(method, math.ceil(space.min_steps / steps))
    return dataclasses.replace(space, methods=methods)


def _longer(space: MethodSpace, least: int) -> MethodSpace:
    epochs = space.dimensions["epochs"]
    if isinstance(epochs, Choices):
        longer = dict.fromkeys(max(int(value), least) for value in epochs.values)
        return _replace(space, epochs=Choices(values=tuple(longer)))
    assert isinstance(epochs, Range)
    low, high = max(epochs.low, least), max(epochs.high, least)
    return _replace(space, epochs=dataclasses.replace(epochs, low=low, high=high))


def shorten(space: Space, most: int) -> Space:
    """Return the space without the longer trainings.

    Args:
        space: of any backbone.
        most: epochs of a training. Of a method whose trainings are all longer, the shortest stay.
    """
    return dataclasses.replace(
        space, methods={name: _shorter(method, most) for name, method in space.methods.items()}
    )


def _shorter(space: MethodSpace, most: int) -> MethodSpace:
    epochs = space.dimensions["epochs"]
    most = max(most, min(int(end) for end in ends(epochs)))
    if isinstance(epochs, Choices):
        return _replace(
            space, epochs=Choices(values=tuple(v for v in epochs.values if int(v) <= most))
        )
    assert isinstance(epochs, Range)
    return _replace(space, epochs=dataclasses.replace(epochs, high=min(epochs.high, most)))


def smallest(
    space: MethodSpace, shape: BackboneShape, given: Mapping[str, Scalar] | None = None
) -> dict[str, Scalar]:
    """Return the values with the fewest parameters, with those in `given` held.

    One dimension after the other, twice: exact where parameters grow with each dimension whatever
    the others are, as they do for every method but a mixture. Of a mixture one part is left, not
    always its cheapest.
    """
    values = {**space.defaults, **(given or {})}
    free = [n for n in space.dimensions if n not in SETTINGS and n not in (given or {})]
    for name in free * 2:
        options = [{**values, name: end} for end in ends(space.dimensions[name])]
        values = min(options, key=lambda option: _price(space, shape, option))
    return values


def _price(space: MethodSpace, shape: BackboneShape, values: Mapping[str, Scalar]) -> float:
    """Return the number of trained parameters, infinite where the values cannot be trained."""
    try:
        return space.count(shape, values)
    except IncompatibleMethodError:
        return math.inf


def _possible(space: MethodSpace, shape: BackboneShape) -> MethodSpace:
    """Return the space without the values that cannot be trained whatever is beside them.

    Raises:
        IncompatibleMethodError: there is nothing left.
    """
    trimmed: dict[str, Dimension] = {}
    for name, dimension in space.dimensions.items():
        if name in SETTINGS or isinstance(dimension, Mask):
            continue
        faults = {end: _fault(space, shape, name, end) for end in ends(dimension)}
        left = tuple(end for end, fault in faults.items() if fault is None)
        if not left:
            raise next(fault for fault in faults.values() if fault is not None)
        if len(left) == len(faults):
            continue
        trimmed[name] = Choices(values=left)  # of a range, such as 0 to 50 tokens, one end
    space = _replace(space, **trimmed)
    if _price(space, shape, space.defaults) == math.inf:
        space = dataclasses.replace(space, defaults=smallest(space, shape))
        space.count(shape, space.defaults)
    return space


def _fault(
    space: MethodSpace, shape: BackboneShape, name: str, value: Scalar
) -> IncompatibleMethodError | None:
    """Return why a value can be trained neither beside the defaults nor with one changed."""
    first: IncompatibleMethodError | None = None
    for values in _around(space, {**space.defaults, name: value}, name):
        try:
            space.count(shape, values)
        except IncompatibleMethodError as error:
            first = first or error
        else:
            return None
    return first


def _around(
    space: MethodSpace, values: Mapping[str, Scalar], held: str
) -> Iterator[Mapping[str, Scalar]]:
    """Yield the values, then each with one other dimension at each of its ends."""
    yield values
    for name, dimension in space.dimensions.items():
        if name != held and name not in SETTINGS:
            yield from ({**values, name: end} for end in ends(dimension))


def _on_backbone(space: MethodSpace, shape: BackboneShape) -> MethodSpace:
    """Return the space with the sites and layers of the backbone, each once.

    Raises:
        IncompatibleMethodError: there are none.
    """
    if "sites" not in space.dimensions:
        return space
    sites: dict[tuple[str, ...], Scalar] = {}
    for joined in _first(space, "sites"):
        names = places_named(shape, tuple(str(joined).split(",")))
        if names:
            sites.setdefault(names, joined)
    rules = _rules(space, shape.layers)
    if not sites or rules is None:
        raise IncompatibleMethodError(
            f"none of its placements exists on {shape.layers} layers of {shape.architecture}"
        )
    return _replace(space, sites=Choices(values=tuple(sites.values())), layers=rules)


def _rules(space: MethodSpace, layers: int) -> Dimension | None:
    if isinstance(space.dimensions["layers"], Mask):
        return Mask(layers=layers)
    written = {canonical(str(rule), layers): None for rule in _first(space, "layers")}
    rules = tuple(rule for rule in written if rule is not None)
    return Choices(values=rules) if rules else None


def _first(space: MethodSpace, name: str) -> tuple[Scalar, ...]:
    """Return the choices with the default first, so that of equals the default stays."""
    values = ends(space.dimensions[name])
    default = space.defaults[name]
    return (default, *(value for value in values if value != default))


def _in_budget(space: MethodSpace, shape: BackboneShape, max_params: int) -> MethodSpace:
    least = smallest(space, shape)

    def fits(name: str, value: Scalar) -> bool:
        quick = _price(space, shape, {**least, name: value}) <= max_params
        return quick or _price(space, shape, smallest(space, shape, {name: value})) <= max_params

    trimmed = {
        name: _kept(dimension, partial(fits, name))
        for name, dimension in space.dimensions.items()
        if name not in SETTINGS and not fixed(dimension)
    }
    space = _replace(space, **trimmed)
    if _price(space, shape, space.defaults) > max_params:
        return dataclasses.replace(space, defaults=_defaults_in(space, shape, least, max_params))
    return space


def _kept(dimension: Dimension, fits: Callable[[Scalar], bool]) -> Dimension:
    """Return a dimension without what does not fit; masks and ranges of real numbers as they are.

    Parameters grow with a rank and fall with a reduction, so that of whole numbers those up to one
    of them fit, or those from one on.
    """
    if isinstance(dimension, Choices):
        return Choices(values=tuple(value for value in dimension.values if fits(value)))
    if not isinstance(dimension, Range) or not dimension.whole:
        return dimension
    values = range(int(dimension.low), int(dimension.high) + 1)
    if fits(values[0]):
        kept = values[: bisect_left(values, True, key=lambda value: not fits(value))]
    else:
        kept = values[bisect_left(values, True, key=fits) :]
    return dataclasses.replace(dimension, low=kept[0], high=kept[-1])


def _defaults_in(
    space: MethodSpace, shape: BackboneShape, least: Mapping[str, Scalar], max_params: int
) -> dict[str, Scalar]:
    """Return the values nearest to the defaults, one dimension after the other as far as it goes.

    The last ones, where a method sits, give way first.

    Args:
        space: without what does not fit beside `least`.
        shape: the backbone.
        least: values that are within the budget.
        max_params: the budget.
    """
    values = dict(least)

    def fits(name: str, value: Scalar) -> bool:
        return _price(space, shape, {**values, name: value}) <= max_params

    for name, dimension in space.dimensions.items():
        wanted = nearest(_kept(dimension, partial(fits, name)), space.defaults[name])
        if fits(name, wanted):
            values[name] = wanted
    return values


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
