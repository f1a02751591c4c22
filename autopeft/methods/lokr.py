"""LoKr: an update that is the Kronecker product of a small and a low-rank matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import (
    METHODS,
    Knob,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    names_at,
)
from autopeft.methods.lora import PROJECTIONS, needs_untransposed
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoKrConfig


def split(width: int, factor: int) -> tuple[int, int]:
    """Return two factors of `width`, the first at most `factor` and √width (−1: √width alone).

    A factor that divides the width is taken as it is.
    """
    if factor > 0 and width % factor == 0:
        return factor, width // factor
    limit = math.isqrt(width) if factor < 0 else min(factor, math.isqrt(width))
    first = next(size for size in range(limit, 0, -1) if width % size == 0)
    return first, width // first


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return the sizes of both Kronecker factors summed over the modules.

    With widths ``out = l·k`` and ``in = m·n``: ``l·m`` plus ``r·(k + n)``, or ``k·n`` where a
    rank of r would save nothing (r ≥ max(k, n)/2).
    """
    rank, factor, total = int(knobs["r"]), int(knobs["factor"]), 0
    for module in modules_at(shape, placement):
        (rows, inner_rows) = split(module.fan_out, factor)
        (columns, inner_columns) = split(module.fan_in, factor)
        low = rank < max(inner_rows, inner_columns) / 2
        inner = rank * (inner_rows + inner_columns) if low else inner_rows * inner_columns
        total += rows * columns + inner
    return total


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoKrConfig:
    from peft import LoKrConfig

    del total_steps
    return LoKrConfig(
        r=int(candidate.knobs["r"]),
        alpha=int(candidate.knobs["alpha"]),
        decompose_factor=int(candidate.knobs["factor"]),
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


METHODS.register(
    MethodInfo(
        name="lokr",
        family="kronecker",
        description="adds the Kronecker product of a small and a low-rank matrix",
        paper="Yeh et al. (2024), Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning "
        "to Model Evaluation",
        knobs={
            "r": Knob(default=8, low=1, high=64, log=True, help="rank of the second factor"),
            "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
            "factor": Knob(default=-1, choices=(-1, 4, 8, 16), help="width of the first factor"),
        },
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=1e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs"
        ),
        count=_count,
        config=_config,
        excluded=needs_untransposed("LoKr"),
        mergeable=True,
    )
)
