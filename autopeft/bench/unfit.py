"""Which rows of a suite a backbone cannot have: of a method, or of the knobs of a variant."""

from __future__ import annotations

from collections.abc import Iterable

from autopeft.bench.suite import Entry
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, feasible_methods
from autopeft.records import BackboneShape


def unfit(entries: Iterable[Entry], shape: BackboneShape, longest: int) -> dict[str, str]:
    """Return why rows cannot be trained on a backbone, by the name of the row.

    Args:
        entries: the rows.
        shape: the backbone.
        longest: longest input in tokens.
    """
    excluded = feasible_methods(shape, longest)[1]
    reasons = {entry.name: excluded.get(entry.method) or _unfit(entry, shape) for entry in entries}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _unfit(entry: Entry, shape: BackboneShape) -> str | None:
    """Return why a row cannot be trained whose method can, with other knobs."""
    info = METHODS.get(entry.method)
    try:
        for candidate in entry.candidates(epochs=1):
            info.count(shape, candidate.placement, candidate.knobs)
    except IncompatibleMethodError as error:
        return str(error)
    return None
