"""What a candidate-example costs as packs, trained layers, texts and data grow."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autopeft.train.costs import free_bytes
from autopeft.train.session import Session, Setting
from benchmarks.speed.contender import RATES, Contender, Outcome, take_turns
from benchmarks.speed.material import (
    BATCH_SIZE,
    default_lora,
    lengthened,
    save_splits,
    serial_adapter,
    with_rates,
)
from benchmarks.speed.ours import ours
from benchmarks.spread import spread

_PART_OF_MEMORY = 0.5
_EVALUATED = 64

SWEEPS = ("pack", "layer", "length", "rows")

Sweep = Mapping[int, Contender]
"""Packs to train, by the number that differs between them."""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one sweep after another.

    - ``pack``: LoRA in all layers, by the number of candidates in a pass.
    - ``layer``: a pack of adapters, by the lowest layer that has one; those below are recycled.
    - ``length``: a pack of LoRA, by the tokens of every text: texts are repeated and cut.
    - ``rows``: a pack of LoRA, by training rows: an eighth of them, a quarter, a half, and all.

    Args:
        options: of `benchmarks.speed.packs`.
        folder: for the rows.
    """

    def saved(rows: int) -> Setting:
        return save_splits(
            options.data, options.model, rows, 0, folder / str(rows), others=_EVALUATED
        )

    default, setting = default_lora(options.epochs), saved(options.examples)
    session = Session(setting)
    setting = dataclasses.replace(setting, plan=session.plan.to_json())
    pack, layers = with_rates(default, options.pack), session.delivered.shape.layers
    sizes = [size for size in options.sizes if _fits(session, size)]

    def by_size() -> Sweep:
        return {size: ours(session, *with_rates(default, size)) for size in sizes}

    def by_layer() -> Sweep:
        adapters = {
            low: serial_adapter(options.epochs, f"{low}-{layers - 1}") for low in range(layers)
        }
        return {low: ours(session, *with_rates(a, options.pack)) for low, a in adapters.items()}

    def by_length() -> Sweep:
        longer = lengthened(setting, max(options.lengths), folder / "long")
        cut = {n: dataclasses.replace(longer, max_length=n) for n in options.lengths}
        return {n: ours(Session(one), *pack) for n, one in cut.items()}

    def by_rows() -> Sweep:
        counts = [options.examples // part for part in (8, 4, 2)]
        given = {rows: dataclasses.replace(setting, data=saved(rows).data) for rows in counts}
        given[options.examples] = setting
        return {rows: ours(Session(one), *pack) for rows, one in given.items()}

    sweeps: dict[str, Callable[[], Sweep]] = {
        "pack": by_size,
        "layer": by_layer,
        "length": by_length,
        "rows": by_rows,
    }
    return {
        "plan": session.plan.to_json(),
        "no_memory_for": sorted(set(options.sizes) - set(sizes)),
        "growth": {name: _points(sweeps[name](), options.repeats) for name in options.sweeps},
    }


def _fits(session: Session, size: int) -> bool:
    """Return whether the longest batch of a pack surely fits into the memory that is free."""
    tokens = size * BATCH_SIZE * int(session.train.lengths.max())
    return tokens * session.plan.bytes_per_token < _PART_OF_MEMORY * free_bytes(session.device)


def _points(sweep: Sweep, repeats: int) -> list[dict[str, Any]]:
    """Return a point per pack, its first training left out of the spread but noted."""
    done = take_turns({str(at): train for at, train in sweep.items()}, range(repeats + 1))
    return [
        {
            "at": at,
            "ms_per_candidate_example": spread(list(map(_ms, done[str(at)][1:]))),
            "first_ms": _ms(done[str(at)][0]),
            "recycle_seconds": done[str(at)][0].recycle_seconds,
        }
        for at in sweep
    ]


def _ms(run: Outcome) -> float:
    return 1_000 / RATES["training"](run)


def rows(growth: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Return a row for the screen per point of each sweep."""
    return [
        {
            "name": name,
            "at": point["at"],
            "ms per candidate-example": point["ms_per_candidate_example"]["median"],
            "lowest": point["ms_per_candidate_example"]["low"],
            "highest": point["ms_per_candidate_example"]["high"],
            "first": point["first_ms"],
            "seconds to compute recycled states": point["recycle_seconds"],
        }
        for name, points in growth.items()
        for point in points
    ]
