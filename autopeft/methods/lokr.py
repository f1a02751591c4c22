"""LoKr: an update that is the Kronecker product of a small and a low-rank matrix."""

from __future__ import annotations

import math

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS, needs_untransposed
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, ModuleShape, Placement

KNOBS = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of the second factor"),
    "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
    "factor": Knob(default=-1, choices=(-1, 4, 8, 16), help="width of the first factor"),
}


def split(width: int, factor: int) -> tuple[int, int]:
    """Return two factors of `width`, the first at most `factor` and √width (−1: √width alone).

    A factor that divides the width is taken as it is.
    """
    if factor > 0 and width % factor == 0:
        return factor, width // factor
    limit = math.isqrt(width) if factor < 0 else min(factor, math.isqrt(width))
    first = next(size for size in range(limit, 0, -1) if width % size == 0)
    return first, width // first


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a product at every module; a rank that would save nothing is left out, as in peft."""
    return [_part(module, knobs) for module in modules_at(shape, placement)]


def _part(module: ModuleShape, knobs: Knobs) -> Part:
    rows, inner_rows = split(module.fan_out, int(knobs["factor"]))
    columns, inner_columns = split(module.fan_in, int(knobs["factor"]))
    low = int(knobs["r"]) < max(inner_rows, inner_columns) / 2
    settings = {**knobs, "rows": rows, "columns": columns, "low": low}
    return part_at("kronecker_product", module, settings=settings)


METHODS.register(
    MethodInfo(
        **made_of("lokr", recipe, KNOBS, Placement(sites=("attn.q", "attn.v")))
        | {"excluded": needs_untransposed("LoKr")},
        family="kronecker",
        description="adds the Kronecker product of a small and a low-rank matrix",
        paper="Yeh et al. (2024), Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning "
        "to Model Evaluation",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=1e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs"
        ),
        mergeable=True,
    )
)
