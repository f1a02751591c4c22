"""A dimension of a space: a list of choices, a numeric range, or a mask of layers.

A dimension of one value is fixed: it is never asked of the sampler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopeft.methods import Knob
from autopeft.records import Scalar, layer_indices
from autopeft.search.layers import MASK, canonical, is_rule

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One of a few values, none of them twice."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number between `low` and `high`, both included; `whole` means integers only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A layer rule that any set of layers may make: to the sampler, one boolean per layer.

    Args:
        layers: of the backbone; None before the space is narrowed to one.
    """

    layers: int | None = None


Dimension = Choices | Range | Mask


def whole(knob: Knob) -> bool:
    """Return whether a numeric knob takes integers."""
    return isinstance(knob.default, int) and not isinstance(knob.default, bool)


def typed(value: Scalar, knob: Knob) -> Scalar:
    """Return a number as a knob has it: 4 for 4.0 where it takes integers, 4.0 for 4 elsewhere."""
    if isinstance(value, bool | str):
        return value
    if whole(knob):
        return int(value)
    return float(value) if isinstance(knob.default, float) else value


def of_knob(knob: Knob) -> Dimension:
    """Return what a method's record allows its knob to be."""
    if knob.choices is not None:
        return Choices(values=knob.choices)
    if knob.low is not None and knob.high is not None:
        return Range(low=knob.low, high=knob.high, log=knob.log, whole=whole(knob))
    return Choices(values=(knob.default,))


def fixed(dimension: Dimension) -> bool:
    """Return whether there is nothing to choose."""
    if isinstance(dimension, Choices):
        return len(dimension.values) == 1
    if isinstance(dimension, Mask):
        return dimension.layers == 1
    return dimension.low == dimension.high


def ends(dimension: Dimension) -> tuple[Scalar, ...]:
    """Return every choice, or both ends of a range: where a monotone cost has its extremes.

    Of a mask these are all layers and one.
    """
    if isinstance(dimension, Choices):
        return dimension.values
    if isinstance(dimension, Mask):
        return ("all",) if fixed(dimension) else ("all", "top:1")
    low, high = dimension.low, dimension.high
    return (int(low), int(high)) if dimension.whole else (low, high)


def contains(dimension: Dimension, value: Scalar) -> bool:
    """Return whether `value` is in the dimension; ``True`` is not 1."""
    if isinstance(dimension, Choices):
        return any(same(value, choice) for choice in dimension.values)
    if isinstance(dimension, Mask):
        if not isinstance(value, str):
            return False
        layers = dimension.layers
        return is_rule(value) if layers is None else canonical(value, layers) == value
    if isinstance(value, bool | str):
        return False
    return dimension.low <= value <= dimension.high and (not dimension.whole or value == int(value))


def same(one: Scalar, other: Scalar) -> bool:
    """Return whether two values are the same setting: 4 is 4.0, but ``True`` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def nearest(dimension: Dimension, value: Scalar) -> Scalar:
    """Return the value of the dimension that comes closest to `value`.

    Numbers are compared by ratio where both are positive; anything else falls back to the
    first choice.
    """
    if contains(dimension, value):
        return value
    if isinstance(dimension, Range):
        low, high = ends(dimension)
        if isinstance(value, str):
            return low
        return low if value < low else high if value > high else round(value)  # type: ignore[operator]
    if isinstance(dimension, Mask):
        written = None if dimension.layers is None else canonical(str(value), dimension.layers)
        return written or "all"
    return min(dimension.values, key=lambda choice: _distance(choice, value))


def suggest(dimension: Dimension, trial: optuna.Trial, name: str) -> Scalar:
    """Ask the trial for a value; floats come rounded to two significant digits.

    Rounding makes candidates that no training could tell apart equal, so that duplicates are seen.
    """
    if isinstance(dimension, Choices):
        if fixed(dimension):
            return dimension.values[0]
        choice: Scalar = trial.suggest_categorical(name, list(dimension.values))
        return choice
    if fixed(dimension):
        return ends(dimension)[0]
    if isinstance(dimension, Mask):
        return _suggest_mask(dimension, trial, name)
    low, high = dimension.low, dimension.high
    if dimension.whole:
        return int(trial.suggest_int(name, int(low), int(high), log=dimension.log))
    drawn = float(trial.suggest_float(name, low, high, log=dimension.log))
    return min(max(float(f"{drawn:.2g}"), low), high)


def parameters(dimension: Dimension, name: str, value: Scalar) -> dict[str, Scalar]:
    """Return the sampler's parameters under which `suggest` yields `value`."""
    if not isinstance(dimension, Mask):
        return {name: value}
    assert dimension.layers is not None
    chosen = layer_indices(str(value), dimension.layers)
    return {f"{name}.{layer}": layer in chosen for layer in range(dimension.layers)}


def _suggest_mask(mask: Mask, trial: optuna.Trial, name: str) -> str:
    """Return a rule; where no layer is chosen, a mask of zeros, which no method can use."""
    if mask.layers is None:
        raise ValueError(f"narrow the space to a backbone first: {name} is a mask of its layers")
    on = [trial.suggest_categorical(f"{name}.{i}", [False, True]) for i in range(mask.layers)]
    rule = f"{MASK}:" + "".join("01"[chosen] for chosen in on)
    return canonical(rule, mask.layers) or rule


def _distance(choice: Scalar, value: Scalar) -> float:
    if isinstance(choice, bool | str) or isinstance(value, bool | str):
        return math.inf
    if choice > 0 and value > 0:
        return abs(math.log(choice / value))
    return abs(choice - value)
