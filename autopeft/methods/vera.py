"""VeRA: fixed random projections shared by all modules, two trained vectors for each."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS = {
    "r": Knob(default=256, low=16, high=1024, log=True, help="rank of the projections"),
    "d_initial": Knob(default=0.1, choices=(0.1, 1e-7), help="start of the inner vector"),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return the vectors at every module, around projections as wide as the widest of them."""
    modules = modules_at(shape, placement)
    settings = {
        **knobs,
        "widest_in": max(module.fan_in for module in modules),
        "widest_out": max(module.fan_out for module in modules),
    }
    return [part_at("random_projection", module, settings=settings) for module in modules]


METHODS.register(
    MethodInfo(
        **made_of("vera", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="two trained vectors around random projections shared by all modules",
        paper="Kopiczko et al. (2024), VeRA: Vector-based Random Matrix Adaptation",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 4e-3..1e-2)"
        ),
        mergeable=True,
    )
)
