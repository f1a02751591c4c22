"""DoRA: LoRA on the direction of a weight, with its magnitude trained apart."""

from __future__ import annotations

from dataclasses import replace

from autopeft.deltas import Part
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo, lora
from autopeft.methods.recipe import Knobs, made_of
from autopeft.records import BackboneShape, Placement


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return LoRA's parts, with a magnitude for each output."""
    return [
        replace(part, delta="weight_decomposed") for part in lora.recipe(shape, placement, knobs)
    ]


METHODS.register(
    MethodInfo(
        **made_of("dora", recipe, lora.KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="LoRA on a weight's direction, with a trained magnitude per output",
        paper="Liu et al. (2024), DoRA: Weight-Decomposed Low-Rank Adaptation",
        sites=lora.PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs"
        ),
        mergeable=True,
    )
)
