"""DSEE: a low-rank update and a few single entries."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of the update"),
    "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
    "entries": Knob(
        default=16, low=1, high=256, log=True, help="single entries trained in each projection"
    ),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a low-rank and sparse update at every module of the placement."""
    return [
        part_at("lowrank_sparse", module, settings=dict(knobs))
        for module in modules_at(shape, placement)
    ]


METHODS.register(
    MethodInfo(
        **made_of("dsee", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="a low-rank update and the single entries that low rank fits worst",
        paper="Chen et al. (2023), DSEE: Dually Sparsity-embedded Efficient Tuning of Pre-trained "
        "Language Models",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="as LoRA"),
        native=False,
        mergeable=True,
    )
)
