"""TARP: every projection rescaled, with an update that depends on the token."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

PAPER = (
    "Hou et al. (2022), Meta-Learning the Difference: Preparing Large Language Models for "
    "Efficient Adaptation"
)
KNOBS = {"r": Knob(default=4, low=1, high=32, log=True, help="rank of scale and update")}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a dynamic low-rank change at every module of the placement."""
    return [
        part_at("dynamic_lowrank", module, settings={"r": knobs["r"]})
        for module in modules_at(shape, placement)
    ]


METHODS.register(
    MethodInfo(
        **made_of("tarp", recipe, KNOBS, Placement(sites=PROJECTIONS)),
        family="dynamic",
        description="rescales frozen projections and adds low-rank updates made from each token",
        paper=PAPER,
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=1e-3,
            spread=5.0,
            source="below LoRA, as all projections change; not measured yet",
        ),
        native=False,
    )
)
