"""The candidates of the table: the same for every task, drawn once and for all.

First every method of ``space.yaml`` with its defaults at the median of its learning-rate prior;
those trainings are shared with the suite ``methods``. Then `DRAWN` more, in rounds over the
methods: a Latin hypercube for each method, so that its learning rates and its sizes are spread
whatever their number. Methods with a placement sit in the layers of `ROUNDS`: two thirds of all
that is drawn is in the top half or the top layer, where the frozen layers below are computed once
and a training costs a tenth.

Paper: McKay et al. (1979) for Latin hypercubes.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import qmc

from autopeft.bench.suite import Entry
from autopeft.methods import METHODS
from autopeft.methods.packing import lowest_layer
from autopeft.records import BackboneShape, Candidate, Scalar
from autopeft.search.dimension import Choices, Dimension, Range, ends, fixed
from autopeft.search.load import load_space
from autopeft.search.portfolio import DEFAULT_METHOD, HEAD_METHOD
from autopeft.search.space import MethodSpace, Space
from benchmarks.protocol import EPOCHS
from benchmarks.table.backbone import Backbone

TASKS = ("subj", "tweet_emotion", "clinc150_small", "mpqa", "mr", "sts15")
SEEDS = (0, 1)
"""Under which every candidate is trained on every task."""

SPACE = Path(__file__).with_name("space.yaml")
DRAW_SEED = 0
DRAWN = 120
ROUNDS = ("top:3", "all", "top:1", "top:3")
"""Layers of the candidates of each round; rounds repeat."""

BATCH_SIZE = 16
_TRIES = 100


def table_space(backbone: Backbone, epochs: int = EPOCHS, *, name: str | Path = SPACE) -> Space:
    """Return a space with the training settings that the table has.

    Args:
        backbone: what is trained, and which methods cannot be.
        epochs: of every training.
        name: of a shipped space; by default the one that candidates are drawn from.
    """
    settings = {"epochs": epochs, "batch_size": BATCH_SIZE}
    space = load_space(name).restrict(shape=backbone.shape, excluded=backbone.excluded)
    methods = {
        name: dataclasses.replace(
            method,
            dimensions={
                **method.dimensions,
                **{key: Choices(values=(value,)) for key, value in settings.items()},
            },
            defaults={**method.defaults, **settings},
        )
        for name, method in space.methods.items()
    }
    return dataclasses.replace(space, methods=methods)


def candidates(backbone: Backbone, epochs: int = EPOCHS) -> list[Candidate]:
    """Return all candidates of the table on a backbone; the first two are the references.

    Args:
        backbone: what is trained, and which methods cannot be.
        epochs: of every training.
    """
    space = table_space(backbone, epochs)
    names = (DEFAULT_METHOD, HEAD_METHOD, *space.methods)
    found = {one.fingerprint: one for one in (_default(name, epochs) for name in names)}
    for name, rules in _allotted(space).items():
        for one in _drawn(space, name, rules, set(found)):
            found[one.fingerprint] = one
    return list(found.values())


def stages(backbone: Backbone, epochs: int = EPOCHS) -> dict[str, list[Candidate]]:
    """Return the candidates in the order of training, so that what there is makes a table.

    The references, without which nothing can be compared; all that is placed high, cheap and of
    nearly every method; the defaults; the rest that can share a pass; what has to be trained alone.
    """
    every = candidates(backbone, epochs)
    defaults = {_default(one.method, epochs).fingerprint for one in every}
    names = ("references", "cheap", "defaults", "whole", "alone")
    found: dict[str, list[Candidate]] = {name: [] for name in names}
    for number, one in enumerate(every):
        if number < 2:
            found["references"].append(one)
        elif _is_high(one, backbone.shape):
            found["cheap"].append(one)
        elif METHODS.get(one.method).recipe is None:
            found["alone"].append(one)
        else:
            found["defaults" if one.fingerprint in defaults else "whole"].append(one)
    return found


def _default(name: str, epochs: int) -> Candidate:
    """Return a method with its defaults at the median of its prior."""
    return Entry(name=name, method=name).candidates(epochs, rates=[1.0])[0]


def _is_high(candidate: Candidate, shape: BackboneShape) -> bool:
    return lowest_layer(candidate, shape) >= shape.layers // 2


def _allotted(space: Space) -> dict[str, list[str]]:
    """Return the layers of each method's draws, one round of the methods after the other.

    A method that has no layers to choose, and trains through all of them, joins every second round.
    """
    turns = (
        (name, ROUNDS[number % len(ROUNDS)])
        for number in itertools.count()
        for name, method in space.methods.items()
        if "layers" in method.dimensions or number % 2 == 0
    )
    allotted: dict[str, list[str]] = {name: [] for name in space.methods}
    for name, rule in itertools.islice(turns, DRAWN):
        allotted[name].append(rule)
    return allotted


def _drawn(space: Space, name: str, rules: list[str], known: set[str]) -> Iterator[Candidate]:
    """Yield a method's draws; what cannot be trained or is known is drawn again."""
    method = space.methods[name]
    free = [key for key, dimension in method.dimensions.items() if not fixed(dimension)]
    generator = np.random.default_rng([DRAW_SEED, zlib.crc32(name.encode())])
    cube = qmc.LatinHypercube(len(free), rng=generator).random(len(rules))
    for shares, rule in zip(cube, rules, strict=True):
        for _ in range(_TRIES):
            one = _candidate(method, dict(zip(free, shares, strict=True)), rule)
            if one.fingerprint not in known and space.infeasible(one) is None:
                known.add(one.fingerprint)
                yield one
                break
            shares = generator.random(len(free))
        else:
            raise ValueError(f"{name} has no further candidate with layers {rule}")


def _candidate(method: MethodSpace, shares: dict[str, float], rule: str) -> Candidate:
    values = {key: value_at(method.dimensions[key], share) for key, share in shares.items()}
    if "layers" in method.dimensions:
        values["layers"] = _nearest_rule(rule, ends(method.dimensions["layers"]))
    return method.candidate({**method.defaults, **values})


def _nearest_rule(rule: str, rules: tuple[Scalar, ...]) -> Scalar:
    """Return the rule, or where the space lacks it the one of the fewest layers."""
    return rule if rule in rules else min(rules, key=lambda one: (one == "all", str(one)))


def value_at(dimension: Dimension, share: float) -> Scalar:
    """Return the value at a share in [0, 1) of a dimension, as `dimension.suggest` would round it.

    >>> value_at(Range(low=1, high=64, log=True, whole=True), 0.5)
    8
    """
    if isinstance(dimension, Choices):
        return dimension.values[int(share * len(dimension.values))]
    assert isinstance(dimension, Range)
    low, high = dimension.low, dimension.high
    between = low * (high / low) ** share if dimension.log else low + share * (high - low)
    return round(between) if dimension.whole else min(max(float(f"{between:.2g}"), low), high)


def families(found: list[Candidate]) -> Counter[str]:
    """Return how many candidates each family of methods has."""
    return Counter(METHODS.get(one.method).family for one in found)
