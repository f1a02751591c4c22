"""How far two candidates are apart: the rule by which a suggestion snaps to a row of the table.

    distance = apart in method + apart in knobs or size + apart in learning rate + apart in place

One unit is a factor of four in the learning rate, in a rank or another number, or in the trained
parameters; a place without a common site; or all layers. The terms:

- method: 0 for the same, 4 within a family, 8 between families;
- knobs, of the same method: ``|log4((1 + a) / (1 + b))|`` for numbers, 1/4 for a choice that
  differs, summed; of different methods, whose knobs say different things, the trained parameters
  by the same rule;
- learning rate: ``|log4|`` of the ratio of the two, each as a multiple of its method's prior
  median, because methods live at different rates;
- place: 1 - shared / all of the sites, and the same of the layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autopeft.methods import METHODS
from autopeft.records import BackboneShape, Candidate, Scalar, layer_indices

OTHER_METHOD, OTHER_FAMILY = 4.0, 8.0
OTHER_CHOICE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a candidate is among others.

    Args:
        method: its name.
        family: of its method.
        rate: ``log4`` of the learning rate as a multiple of its prior's median.
        size: ``log4(1 + trained parameters)``.
        knobs: of the method.
        sites: of its placement; empty where the method has none to choose.
        layers: of its placement; empty likewise.
    """

    method: str
    family: str
    rate: float
    size: float
    knobs: tuple[tuple[str, Scalar], ...]
    sites: frozenset[str]
    layers: frozenset[int]


def place(candidate: Candidate, trainable_params: int, shape: BackboneShape) -> Place:
    """Return where a candidate is."""
    info, where = METHODS.get(candidate.method), candidate.placement
    return Place(
        method=info.name,
        family=info.family,
        rate=math.log(candidate.learning_rate / info.learning_rate.median, 4),
        size=math.log(1 + trainable_params, 4),
        knobs=tuple(sorted(candidate.knobs.items())),
        sites=frozenset(where.sites if where else ()),
        layers=frozenset(layer_indices(where.layers, shape.layers) if where else ()),
    )


def distance(one: Place, other: Place) -> float:
    """Return how far apart two candidates are; see above."""
    apart = abs(one.rate - other.rate)
    apart += _unshared(one.sites, other.sites) + _unshared(one.layers, other.layers)
    if one.method == other.method:
        pairs = zip(one.knobs, other.knobs, strict=True)
        return apart + sum(_knob(mine, theirs) for (_, mine), (_, theirs) in pairs)
    apart += abs(one.size - other.size)
    return apart + (OTHER_METHOD if one.family == other.family else OTHER_FAMILY)


def _knob(one: Scalar, other: Scalar) -> float:
    if one == other:
        return 0.0
    if isinstance(one, bool | str) or isinstance(other, bool | str) or min(one, other) <= -1:
        return OTHER_CHOICE
    return abs(math.log((1 + one) / (1 + other), 4))


def _unshared(one: frozenset[object], other: frozenset[object]) -> float:
    every = one | other
    return 1 - len(one & other) / len(every) if every else 0.0
