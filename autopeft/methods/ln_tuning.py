"""LN-tuning: the weights and biases of the layers' norms."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.recipe import Knobs, made_of, part_at, sits_at
from autopeft.records import BackboneShape, Placement


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a change of gain, and of bias where there is one, at every norm of the placement."""
    del knobs
    return [
        part_at("norm", module, settings={"bias": bool(module.bias)})
        for module in modules_at(shape, placement)
    ]


def norms_named(shape: BackboneShape, placement: Placement | None) -> list[Part]:
    """Return the same for a placement that may name other sites too; nothing if not the norms'."""
    if not sits_at(placement, "norm"):
        return []
    rule = placement.layers if placement else "all"
    return recipe(shape, Placement(sites=("norm",), layers=rule), {})


METHODS.register(
    MethodInfo(
        **made_of("ln_tuning", recipe, {}, Placement(sites=("norm",))),
        family="norm",
        description="trains the norms of the layers",
        paper="Qi et al. (2022), Parameter-Efficient Tuning on Layer Normalization for Pre-trained "
        "Language Models",
        sites=("norm",),
        learning_rate=LearningRatePrior(
            median=8e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-4)"
        ),
        mergeable=True,
    )
)
