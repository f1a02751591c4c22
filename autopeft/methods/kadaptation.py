"""KAdaptation: updates that are sums of Kronecker products, half of whose factors all share."""

from __future__ import annotations

import math

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS = {
    "terms": Knob(default=32, choices=(8, 16, 32, 64), help="Kronecker products in an update"),
    "scale": Knob(default=160.0, low=1.0, high=320.0, log=True, help="fixed factor of the update"),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return an update of Kronecker products at every module of the placement.

    The shared factors are as long as there are terms (the paper's), or as the largest common
    divisor of that and all widths, where a width is no multiple of it.
    """
    modules = modules_at(shape, placement)
    terms = int(knobs["terms"])
    side = math.gcd(terms, *(fan for m in modules for fan in (m.fan_in, m.fan_out)))
    settings = {"terms": terms, "side": side, "scale": knobs["scale"]}
    return [part_at("kronecker", m, settings=settings, shares="slow") for m in modules]


METHODS.register(
    MethodInfo(
        **made_of("kadaptation", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="kronecker",
        description="adds sums of Kronecker products whose first factors all layers share",
        paper="He et al. (2023), Parameter-efficient Model Adaptation for Vision Transformers",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=5e-3,
            spread=4.0,
            source="MiniLM, 500 rows of subj, 3 epochs: between 2e-3 and 8e-3",
        ),
        native=False,
        mergeable=True,
    )
)
