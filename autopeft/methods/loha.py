"""LoHa: an update that is the elementwise product of two low-rank matrices."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS, needs_untransposed
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of each of the two"),
    "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return an update at every module of the placement."""
    modules = modules_at(shape, placement)
    return [part_at("hadamard", module, settings=knobs) for module in modules]


METHODS.register(
    MethodInfo(
        **made_of("loha", recipe, KNOBS, Placement(sites=("attn.q", "attn.v")))
        | {"excluded": needs_untransposed("LoHa")},
        family="low-rank",
        description="adds the elementwise product of two low-rank matrices, of rank up to r²",
        paper="Hyeon-Woo et al. (2022), FedPara: Low-Rank Hadamard Product for "
        "Communication-Efficient Federated Learning",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="a guess: as LoRA"),
        mergeable=True,
    )
)
