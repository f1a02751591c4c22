"""The gated mixture as a guide: what its gates hold open is tried alone.

One mixture is trained to its end; the means of its gates over examples say how much of each part
every layer let through. The parts that are most open are proposed as methods of their own, in the
layers where they are, and everywhere; so is the mixture with its gates rounded
(`autopeft.methods.hardening`).

Paper: Mao et al. (2022), UniPELT, for gates that tell which part suits a task.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from autopeft.methods import METHODS
from autopeft.methods.hardening import Means, hardened
from autopeft.records import Candidate, RungPoint, Scalar, TrialRecord, TrialState, layer_indices
from autopeft.search.compare import goes_on
from autopeft.search.dimension import ends
from autopeft.search.portfolio import fitted, hand_made
from autopeft.search.space import Space
from benchmarks.search.recorded import Row, Table

ALONE = {
    "serial": "pfeiffer",
    "serial_attention": "houlsby",
    "parallel": "parallel_adapter",
    "prefix": "prefix",
    "lora_q": "lora",
    "lora_v": "lora",
    "ia3": "ia3",
}
"""The method that trains a kind of part alone."""

GUIDED = 2
"""Methods that are proposed."""

Opened = Mapping[str, Mapping[int, float]]
"""By method, how far its parts are open in each layer."""


def opened(means: Means) -> dict[str, dict[int, float]]:
    """Return by method the mean gate of its parts in each layer, the most open method first.

    >>> opened({(0, "lora_q"): 0.9, (0, "lora_v"): 0.5, (0, "prefix"): 0.8})
    {'prefix': {0: 0.8}, 'lora': {0: 0.7}}
    """
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (layer, kind), mean in sorted(means.items()):
        if kind in ALONE:
            found[ALONE[kind]][layer].append(mean)
    gates = {
        method: {layer: statistics.fmean(values) for layer, values in layers.items()}
        for method, layers in found.items()
    }
    ranked = sorted(gates, key=lambda method: -statistics.fmean(gates[method].values()))
    return {method: gates[method] for method in ranked}


def proposals(mixture: Candidate, means: Means, space: Space) -> list[Candidate]:
    """Return what the gates of a mixture speak for, in order of trial."""
    gates = opened(means)
    wanted = []
    for method in [name for name in gates if name in space.methods][:GUIDED]:
        default = space.default_of(method)
        if default.placement is not None:
            rule = _rule(space, method, gates[method])
            wanted.append(replace(default, placement=replace(default.placement, layers=rule)))
        wanted.append(default)
    shape, recipe = space.shape, METHODS.get(mixture.method).recipe
    if "mixture" in space.methods and shape is not None and recipe is not None:
        parts = recipe(shape, mixture.placement, mixture.knobs)
        wanted.append(hardened(mixture, parts, means, shape.layers))
    return list(fitted(wanted, space))


def _rule(space: Space, method: str, gates: Mapping[int, float]) -> str:
    """Return the layer rule of the space that best names the layers that are open.

    Those are the layers whose gate is at least the mean of all; best is the largest share of
    layers that are in both, of those that are in either.
    """
    assert space.shape is not None
    layers, middle = space.shape.layers, statistics.fmean(gates.values())
    wanted = {layer for layer, gate in gates.items() if gate >= middle}
    dimension = space.methods[method].dimensions["layers"]

    def overlap(rule: Scalar) -> float:
        named = set(layer_indices(str(rule), layers))
        return len(named & wanted) / len(named | wanted)

    return str(max(ends(dimension), key=overlap))


class Guide:
    """Proposes what the gates of the first mixture speak for, once it was trained.

    Args:
        table: with the recorded gates.
        shuffled: a seed to shuffle the gates by, to see what the same proposals are worth without
            what gates say; None for the gates as they are.
    """

    def __init__(self, table: Table, *, shuffled: int | None = None) -> None:
        self._space = table.space
        self._means = {
            row.candidate.fingerprint: means for row in table.rows if (means := gates_of(row))
        }
        self._generator = None if shuffled is None else np.random.default_rng(shuffled)
        self._kept: list[Candidate] | None = None

    def __call__(self, records: Sequence[TrialRecord]) -> Iterator[Candidate]:
        if self._kept is None:
            self._kept = self._asked(records)
        yield from self._kept or ()

    def _asked(self, records: Sequence[TrialRecord]) -> list[Candidate] | None:
        for record in records:
            means = self._means.get(record.candidate.fingerprint)
            if means is not None and record.state is TrialState.COMPLETE:
                return proposals(record.candidate, self._told(means), self._space)
        return None

    def _told(self, means: Means) -> Means:
        if self._generator is None:
            return means
        values = self._generator.permutation(list(means.values()))
        return dict(zip(means, values.tolist(), strict=True))

    def goes_on(
        self, number: int, point: RungPoint, records: Sequence[TrialRecord], higher_is_better: bool
    ) -> bool:
        """Return whether a trial goes on: as everywhere, but the first mixture is not stopped."""
        gated = [r for r in records if r.candidate.fingerprint in self._means]
        first = gated[0].number == number if gated else False
        return first or goes_on(number, point, records, higher_is_better)


def gates_of(row: Row) -> Means | None:
    """Return the mean of every gate over a row's trainings; None if it has none."""
    told = [one.gates for one in row.trainings if one.gates is not None]
    if not told:
        return None
    return {place: statistics.fmean(gates[place] for gates in told) for place in told[0]}


def with_mixture(space: Space) -> list[Candidate]:
    """Return the portfolio without knowledge, and before it the mixture of the most parts."""
    return [space.default_of("unipelt"), *hand_made(space)]
