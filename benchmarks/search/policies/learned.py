"""What is learnt on some tasks for another: gains, priors of learning rates and of sizes.

Nothing of the task that is searched goes in: the comparison learns anew for each of its tasks from
all the others.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autopeft.methods import METHODS, LearningRatePrior
from autopeft.records import Scalar
from autopeft.search.dimension import Dimension, Range, nearest
from autopeft.search.other_tasks import Seen
from autopeft.search.space import Space
from benchmarks.search.hypervolume import Scale
from benchmarks.search.policies.surrogate import Trend, learn_trend
from benchmarks.search.recorded import Row, Table

SOFTNESS = 0.01
"""A learning rate that is this much of the metric behind its method's best counts 1/e of it."""

PRIOR_TASKS = 1.0
"""Tasks that the prior of a method's record, or of the space, counts as."""

LEAST_SPREAD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What was learnt.

    Args:
        seen: what candidates gained, from which a search makes its portfolio.
        rates: the prior of each method's learning rate.
        sizes: for each method, the ranges of its rank, width or tokens.
        trend: the gains that a surrogate starts from.
        tables: that it was learnt on.
    """

    seen: tuple[Seen, ...] = ()
    rates: Mapping[str, LearningRatePrior] = field(default_factory=dict)
    sizes: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    trend: Trend | None = None
    tables: tuple[Table, ...] = ()


def learn(tables: Sequence[Table]) -> Knowledge:
    """Learn from the tables of some tasks."""
    return Knowledge(
        seen=tuple(learn_gains(tables)),
        rates=learn_rates(tables),
        sizes=learn_sizes(tables),
        trend=learn_trend(tables),
        tables=tuple(tables),
    )


def learn_gains(tables: Sequence[Table]) -> Iterator[Seen]:
    """Yield what every candidate that all tables have gained on each task."""
    if not tables:
        return
    scales = [Scale.of(table) for table in tables]
    shared = set.intersection(*(set(table.by_fingerprint) for table in tables))
    for row in tables[0].rows:
        name = row.candidate.fingerprint
        if name in shared:
            own = {s.table.task: s.share(s.table.by_fingerprint[name]) for s in scales}
            gains = {task: share for task, share in own.items() if share is not None}
            yield Seen(candidate=row.candidate, gains=gains)


def learn_rates(tables: Sequence[Table]) -> dict[str, LearningRatePrior]:
    """Return a log-normal prior per method, from where its good learning rates lie.

    A row votes for its learning rate, by how near its score comes to the best of its method on its
    task (see `SOFTNESS`); each task has one vote, and the prior of the record `PRIOR_TASKS`.
    """
    votes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for table in tables:
        for method, rows in _by_method(table).items():
            best = max(table.gain(row.score) for row in rows)
            shares = _shares([best - table.gain(row.score) for row in rows])
            for row, share in zip(rows, shares, strict=True):
                votes[method].append((math.log(row.candidate.learning_rate), share))
    return {method: _posterior(method, found) for method, found in sorted(votes.items())}


def learn_sizes(tables: Sequence[Table]) -> dict[str, dict[str, Range]]:
    """Return for each method the ranges in which its rank, width or tokens are worth trying.

    A row votes for its size, by how near its score comes to the best of its method on its task
    that trains no more parameters (see `SOFTNESS`): small sizes are worth trying too, as long as
    they are on the front of their method. Each task has one vote, and the space `PRIOR_TASKS`. The
    range is that of a log-uniform distribution with the mean and the variance of the votes.
    """
    votes: dict[str, list[tuple[Row, float]]] = defaultdict(list)
    for table in tables:
        for method, rows in _by_method(table).items():
            shares = _shares([_behind(row, rows, table) for row in rows])
            votes[method] += zip(rows, shares, strict=True)
    found: dict[str, dict[str, Range]] = {}
    for method, own in votes.items():
        space = tables[0].space.methods.get(method)
        sizes = {} if space is None else _sizes(space.dimensions)
        found[method] = {
            name: _narrowed(
                size, [(math.log(float(row.candidate.knobs[name])), vote) for row, vote in own]
            )
            for name, size in sizes.items()
        }
    return {method: ranges for method, ranges in sorted(found.items()) if ranges}


def _shares(behind: Sequence[float]) -> list[float]:
    """Return what each of some rows has of one vote, by how far it is behind; see `SOFTNESS`."""
    raw = [math.exp(-far / SOFTNESS) for far in behind]
    return [one / sum(raw) for one in raw]


def _behind(row: Row, rows: Sequence[Row], table: Table) -> float:
    """Return how far a row is behind the best of some rows that are no larger."""
    best = max(table.gain(one.score) for one in rows if one.size <= row.size)
    return best - table.gain(row.score)


def _sizes(dimensions: Mapping[str, Dimension]) -> dict[str, Range]:
    """Return the dimensions that say how large a method's candidates are."""
    return {
        name: one
        for name, one in dimensions.items()
        if isinstance(one, Range) and one.log and one.whole
    }


def _narrowed(size: Range, votes: Sequence[tuple[float, float]]) -> Range:
    """Return a range moved by votes of (log value, weight)."""
    low, high = math.log(size.low), math.log(size.high)
    mean, deviation = _moved((low + high) / 2, (high - low) / math.sqrt(12), votes)
    half = math.sqrt(3) * deviation
    return dataclasses.replace(
        size,
        low=round(math.exp(max(low, mean - half))),
        high=round(math.exp(min(high, mean + half))),
    )


def _moved(
    mean: float, deviation: float, votes: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return mean and deviation of a prior moved by votes of (value, weight)."""
    values = np.array([mean, *(value for value, _ in votes)])
    weights = np.array([PRIOR_TASKS, *(weight for _, weight in votes)])
    moved = float(np.average(values, weights=weights))
    squares = np.append(deviation**2, (values[1:] - moved) ** 2)
    return moved, math.sqrt(float(np.average(squares, weights=weights)))


def _by_method(table: Table) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if row.score is not None:
            found[row.candidate.method].append(row)
    return found


def _posterior(method: str, votes: Sequence[tuple[float, float]]) -> LearningRatePrior:
    """Return a method's prior moved by votes of (log rate, weight)."""
    prior = METHODS.get(method).learning_rate
    mean, deviation = _moved(math.log(prior.median), math.log(prior.spread), votes)
    spread = math.exp(deviation)
    return LearningRatePrior(
        median=float(f"{math.exp(mean):.2g}"),
        spread=round(min(max(spread, LEAST_SPREAD), prior.spread), 2),
        source="learnt from recorded trainings",
    )


def with_rates(space: Space, rates: Mapping[str, LearningRatePrior]) -> Space:
    """Return the space with other learning rates, for the methods that have any."""
    for name, prior in rates.items():
        rate = Range(low=prior.median / prior.spread, high=prior.median * prior.spread, log=True)
        space = _changed(space, name, {"learning_rate": rate}, {"learning_rate": prior.median})
    return space


def with_sizes(space: Space, sizes: Mapping[str, Mapping[str, Range]]) -> Space:
    """Return the space with other ranges of ranks, widths and tokens."""
    for name, ranges in sizes.items():
        if name in space.methods:
            own = space.methods[name].defaults
            defaults = {key: nearest(size, own[key]) for key, size in ranges.items()}
            space = _changed(space, name, ranges, defaults)
    return space


def _changed(
    space: Space, name: str, dimensions: Mapping[str, Dimension], defaults: Mapping[str, Scalar]
) -> Space:
    """Return the space with some dimensions of a method replaced; as it is without the method."""
    own = space.methods.get(name)
    if own is None:
        return space
    method = dataclasses.replace(
        own,
        dimensions={**own.dimensions, **dimensions},
        defaults={**own.defaults, **defaults},
    )
    return dataclasses.replace(space, methods={**space.methods, name: method})
