"""Which rows of a suite a backbone cannot have: of a method, or of the knobs of a variant."""

from __future__ import annotations

from collections.abc import Iterable

from autopeft.bench.suite import Entry
from autopeft.methods import feasible_methods
from autopeft.records import BackboneShape
from autopeft.search.space import Space


def unfit(entries: Iterable[Entry], shape: BackboneShape, longest: int) -> dict[str, str]:
    """Return why rows cannot be trained on a backbone, by the name of the row.

    Args:
        entries: the rows.
        shape: the backbone.
        longest: longest input in tokens.
    """
    excluded = feasible_methods(shape, longest)[1]
    space = Space(source="", methods={}, shape=shape)
    reasons = {
        entry.name: excluded.get(entry.method) or space.infeasible(entry.candidates(epochs=1)[0])
        for entry in entries
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}
