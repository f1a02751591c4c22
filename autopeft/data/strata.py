"""Seeded, stratified choice of rows: exact in total, within one of the ideal in every stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_BINS = 10
_BIN_ROWS = 10


def strata_of(values: npt.NDArray[Any] | None, rows: int) -> Ints:
    """Return a stratum for each row: its class, or the quantile bin of its number.

    Shapes:
        values (N,) classes (any sortable type) or floats, or None for one stratum; result (N,).
    """
    if values is None:
        return np.zeros(rows, np.int64)
    if values.dtype.kind != "f":
        return np.asarray(np.unique(values, return_inverse=True)[1], np.int64)
    bins = max(1, min(_BINS, rows // _BIN_ROWS))
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(np.searchsorted(np.unique(edges), values, side="right"), np.int64)


def choose(strata: Ints, rows: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose exactly `rows` of N rows, within one of the proportional share of each stratum.

    Systematic sampling: the rows are ordered by stratum, at random within it, and the choice
    advances by ``rows / N`` from a random start.

    Shapes:
        strata (N,); result (N,).
    """
    size = len(strata)
    order = _shuffled_by_stratum(strata, rng)
    chosen = np.zeros(size, np.bool_)
    chosen[order] = _systematic(size, rows, int(rng.integers(size)))
    return chosen


def deal(strata: Ints, held_out: tuple[int, ...], rng: np.random.Generator) -> Ints:
    """Deal N rows to a training part (0) and one part of each of the `held_out` sizes (1, 2 …).

    Each held-out part is within one of its proportional share of every stratum. Then a stratum
    with at least as many rows as there are parts gets a row in every part, and any other a row in
    training and in as many parts as it can.

    Shapes:
        strata (N,); result (N,) in 0..len(held_out).
    """
    size = len(strata)
    order = _shuffled_by_stratum(strata, rng)
    start = int(rng.integers(size))
    parts = np.zeros(size, np.int64)
    for number, rows in enumerate(held_out, start=1):
        # Half a turn apart, two parts of at most half the rows each never want the same row.
        phase = (start + (number - 1) * (size // 2)) % size
        wanted = _systematic(size, rows, phase) & (parts[order] == 0)
        parts[order[wanted]] = number
    _repair(parts, strata, order, len(held_out) + 1)
    return parts


def spread(strata: Ints, parts: int, rng: np.random.Generator) -> Ints:
    """Spread N rows evenly over parts, each within one of its share of every stratum.

    Shapes:
        strata (N,); result (N,) in 0..parts-1.
    """
    places = np.empty(len(strata), np.int64)
    places[_shuffled_by_stratum(strata, rng)] = np.arange(len(strata)) % parts
    return places


def _systematic(size: int, rows: int, phase: int) -> npt.NDArray[np.bool_]:
    """Return which of `size` places an even choice of `rows` takes; exact integer arithmetic."""
    steps = (np.arange(size + 1, dtype=np.int64) * rows + phase) // size
    return np.diff(steps) > 0


def _shuffled_by_stratum(strata: Ints, rng: np.random.Generator) -> Ints:
    shuffled = rng.permutation(len(strata))
    return shuffled[np.argsort(strata[shuffled], kind="stable")]


def _repair(parts: Ints, strata: Ints, order: Ints, count: int) -> None:
    """Give every part a row of every stratum, training first, from the stratum's largest part."""
    bounds = np.flatnonzero(np.diff(strata[order])) + 1
    for rows in np.split(order, bounds):
        sizes = np.bincount(parts[rows], minlength=count)
        for part in range(count):
            if sizes[part]:
                continue
            donor = int(np.argmax(sizes))
            if sizes[donor] < 2 and part:
                continue
            taken = rows[np.flatnonzero(parts[rows] == donor)[-1]]
            parts[taken] = part
            sizes[donor] -= 1
            sizes[part] += 1
