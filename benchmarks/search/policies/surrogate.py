"""A surrogate as a guide: what is expected to add most to the area of the front is tried next.

A Gaussian process predicts the gain of what was not tried. What a candidate trains is known before
it is trained, so the gain alone is uncertain, and the area that a candidate should add is a sum of
expected improvements: over each stretch of sizes from its own on, that over the best gain there.

What was recorded on other tasks can be where the process starts from: their gains, as shares of
what lies between the head alone and the best, predicted for every candidate and scaled to what this
task has shown so far.

Papers: Rasmussen and Williams (2006), the process; Jones et al. (1998), expected improvement;
Emmerich et al. (2006), that of the area; Golovin et al. (2017), a process on what others left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import norm

from autopeft.methods import METHODS
from autopeft.records import Candidate, TrialRecord, layer_indices
from autopeft.search.dimension import Mask, fixed
from autopeft.search.front import Point, gain, pareto, size
from autopeft.search.portfolio import HEAD_METHOD
from autopeft.search.space import MethodSpace, Space
from benchmarks.search.hypervolume import Scale
from benchmarks.search.recorded import Table
from benchmarks.table.candidates import value_at

DRAWN = 6
"""Candidates of each method among which the next one is picked."""

CHANGED = 8
"""And of each member of the front so many with one value changed."""

BELOW = 0.1
"""Nothing counts as worse than the head alone by more than this share of the range of gains.

How bad a bad candidate is says nothing of good ones.
"""

LENGTHS = (2.0, 4.0, 8.0, 16.0)
NOISES = (0.05, 0.2, 0.5)
"""Variance of what a seed does, as a share of that of candidates."""

SPREAD, WEIGHT = 0.15, 4
"""What candidates deviate by, as a share of the range, counted as so many observations."""

_OTHER_METHOD, _OTHER_FAMILY, _OTHER_SITE = 2.0, 2.0, 0.25

Trend = Callable[[np.ndarray], np.ndarray]
"""From features (n, F), expected gains (n,) as shares of the range."""


class Features:
    """Candidates as numbers whose sum of absolute differences says how far two are apart.

    A unit is a factor of four in the learning rate, as a multiple of its method's prior median, or
    in the trained parameters; or all layers. Another method is four units, of another family eight.

    Args:
        space: gives the methods and the backbone.
    """

    def __init__(self, space: Space) -> None:
        assert space.shape is not None
        self._space, self._shape, self._names = space, space.shape, METHODS.names()
        self._families = sorted({METHODS.get(name).family for name in self._names})
        self._sites = sorted({module.site for module in self._shape.modules})

    def of(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Return the features (n, F) of candidates."""
        return np.array([self._one(candidate) for candidate in candidates])

    def _one(self, candidate: Candidate) -> list[float]:
        info, where, shape = METHODS.get(candidate.method), candidate.placement, self._shape
        layers = layer_indices(where.layers, shape.layers) if where else ()
        return [
            math.log(candidate.learning_rate / info.learning_rate.median, 4),
            math.log(1 + self._space.count(candidate), 4),
            *(_OTHER_METHOD * (info.name == name) for name in self._names),
            *(_OTHER_FAMILY * (info.family == family) for family in self._families),
            *((layer in layers) / shape.layers for layer in range(shape.layers)),
            *(_OTHER_SITE * bool(where and site in where.sites) for site in self._sites),
        ]


class Process:
    """A Gaussian process of mean zero whose covariance falls exponentially with distance.

    Its length and its noise are those of the greatest marginal likelihood.

    Args:
        features: (n, F).
        values: (n,), observed there.
        spread: standard deviation that is expected of values, counted as `WEIGHT` observations.
    """

    def __init__(self, features: np.ndarray, values: np.ndarray, spread: float) -> None:
        self._features = features
        apart, count = cdist(features, features, "cityblock"), len(values) + WEIGHT
        best = -math.inf
        for length in LENGTHS:
            for noise in NOISES:
                covariance = np.exp(-apart / length) + noise * np.eye(len(values))
                weights = np.linalg.solve(covariance, values)
                variance = (values @ weights + WEIGHT * spread**2) / count
                likelihood = -count * math.log(variance) - np.linalg.slogdet(covariance)[1]
                if likelihood > best:
                    best = likelihood
                    self._length, self._variance, self._weights = length, variance, weights
                    self._inverse = np.linalg.inv(covariance)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations (m,) at features (m, F)."""
        near = np.exp(-cdist(features, self._features, "cityblock") / self._length)
        left = 1 - np.einsum("ij,jk,ik->i", near, self._inverse, near)
        return near @ self._weights, np.sqrt(self._variance * np.maximum(left, 1e-6))


def expected_area(
    front: Sequence[Point], sizes: np.ndarray, means: np.ndarray, deviations: np.ndarray
) -> np.ndarray:
    """Return how much area candidates (m,) are expected to add.

    Args:
        front: points in order of size, each better than those before it, between what nothing
            below counts for and what nothing above is asked for: its first gain is the floor, its
            last size the end of the area.
        sizes: ``log10(1 + trained parameters)`` of the candidates.
        means: of their gains.
        deviations: of their gains.

    >>> front = [Point(gain=0.5, size=0.0), Point(gain=0.7, size=2.0), Point(gain=0.7, size=4.0)]
    >>> expected_area(front, np.array([1.0]), np.array([0.8]), np.array([1e-9])).round(6).tolist()
    [0.5]
    """
    total = np.zeros(len(sizes))
    for start, end in pairwise(front):
        wide = np.clip(end.size - np.maximum(start.size, sizes), 0.0, None)
        above = (means - start.gain) / deviations
        total += wide * deviations * (norm.pdf(above) + above * norm.cdf(above))
    return total


class Surrogate:
    """Proposes, from all records, one candidate that is new.

    Args:
        space: narrowed to the backbone.
        higher_is_better: the metric's direction.
        seed: of the draws.
        trend: what other tasks say; None without.
        among: what it proposes; None for draws of every method and neighbours of the front.
    """

    def __init__(
        self,
        space: Space,
        higher_is_better: bool,
        seed: int,
        trend: Trend | None = None,
        among: Sequence[Candidate] | None = None,
    ) -> None:
        self._space, self._higher, self._seed, self._trend = space, higher_is_better, seed, trend
        self._among = among
        self._features = Features(space)

    def __call__(self, records: Sequence[TrialRecord]) -> Iterator[Candidate]:
        """Yield what should add most; nothing before the head alone has a score."""
        gains = [self._gain(record) for record in records]
        pairs = zip(records, gains, strict=True)
        floor = next((g for one, g in pairs if one.candidate.method == HEAD_METHOD), None)
        if floor is None:
            return
        front = self._front(records, gains, floor)
        pool = self._pool(records, front)
        if pool:
            means, deviations = self._predicted(records, gains, floor, pool)
            sizes = np.array([size(self._space.count(one)) for one in pool])
            area = expected_area(front, sizes, means, deviations)
            yield pool[int(np.argmax(area))]

    def _gain(self, record: TrialRecord) -> float | None:
        """Return the gain that a trial ended with, or was stopped at; None if it failed."""
        score = record.score
        if score is None and record.curve:
            score = record.curve[-1].score
        return None if score is None else gain(score, self._higher)

    def _front(
        self, records: Sequence[TrialRecord], gains: Sequence[float | None], floor: float
    ) -> list[Point]:
        """Return the front for `expected_area`, up to the size of full fine-tuning."""
        points = [
            Point(gain=floor, size=0.0),
            *(
                Point(gain=g, size=size(record.costs.trainable_params))
                for g, record in zip(gains, records, strict=True)
                if g is not None
            ),
        ]
        found = sorted((points[i] for i in pareto(points)), key=lambda point: point.size)
        assert self._space.shape is not None
        return [*found, Point(gain=found[-1].gain, size=size(self._space.shape.total_params))]

    def _pool(self, records: Sequence[TrialRecord], front: Sequence[Point]) -> list[Candidate]:
        """Return what is new and can be trained."""
        found = self._drawn(records, front) if self._among is None else self._among
        known = {record.candidate.fingerprint for record in records}
        new = {one.fingerprint: one for one in found if one.fingerprint not in known}
        return [one for one in new.values() if self._space.infeasible(one) is None]

    def _drawn(self, records: Sequence[TrialRecord], front: Sequence[Point]) -> list[Candidate]:
        """Return draws of every method, and neighbours of the front."""
        generator = np.random.default_rng([self._seed, len(records)])
        best = {point.size for point in front}
        found = [
            _drawn(method, generator)
            for method in self._space.methods.values()
            for _ in range(DRAWN)
        ]
        for record in records:
            method = self._space.methods.get(record.candidate.method)
            if method and size(record.costs.trainable_params) in best:
                found += [_changed(method, record.candidate, generator) for _ in range(CHANGED)]
        return found

    def _predicted(
        self,
        records: Sequence[TrialRecord],
        gains: Sequence[float | None],
        floor: float,
        pool: Sequence[Candidate],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations of the gains of a pool."""
        spread = max(max(g for g in gains if g is not None) - floor, 1e-6)
        least = -BELOW * spread
        above = np.array([least if g is None else max(g - floor, least) for g in gains])
        there = self._features.of([record.candidate for record in records])
        here = self._features.of(pool)
        if self._trend is None:
            known, wanted = np.full(len(above), above.mean()), np.full(len(pool), above.mean())
        else:
            shares = self._trend(there)
            scale = max(float(shares @ above / (shares @ shares)), 1e-6)
            known, wanted, spread = scale * shares, scale * self._trend(here), scale
        process = Process(there, above - known, SPREAD * spread)
        means, deviations = process.predict(here)
        return floor + wanted + means, deviations


def learn_trend(tables: Sequence[Table]) -> Trend | None:
    """Return what the tables of other tasks say of any candidate; None without tables."""
    if not tables:
        return None
    shares: dict[str, list[float]] = {}
    candidates: dict[str, Candidate] = {}
    for table in tables:
        for fingerprint, share in _shares(table).items():
            shares.setdefault(fingerprint, []).append(share)
            candidates[fingerprint] = table.by_fingerprint[fingerprint].candidate
    values = np.array([np.mean(found) for found in shares.values()])
    mean = float(values.mean())
    features = Features(tables[0].space).of([candidates[name] for name in shares])
    process = Process(features, values - mean, float(values.std()))
    return lambda wanted: mean + process.predict(wanted)[0]


def _shares(table: Table) -> Mapping[str, float]:
    """Return how far every row is on the way from the head alone to the best, see `BELOW`."""
    scale = Scale.of(table)
    shares = {name: scale.share(row) for name, row in table.by_fingerprint.items()}
    return {name: -BELOW if one is None else max(one, -BELOW) for name, one in shares.items()}


def _drawn(method: MethodSpace, generator: np.random.Generator) -> Candidate:
    """Return a candidate of a method with every value drawn."""
    values = {name: value_at(method.dimensions[name], generator.random()) for name in _free(method)}
    return method.candidate({**method.defaults, **values})


def _changed(
    method: MethodSpace, candidate: Candidate, generator: np.random.Generator
) -> Candidate:
    """Return a candidate with one value drawn anew."""
    name = str(generator.choice(_free(method)))
    value = value_at(method.dimensions[name], generator.random())
    return method.candidate({**method.values(candidate), name: value})


def _free(method: MethodSpace) -> list[str]:
    dimensions = method.dimensions.items()
    return [name for name, one in dimensions if not fixed(one) and not isinstance(one, Mask)]
