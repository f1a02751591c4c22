"""LoRA-FA: LoRA whose first matrix stays as it was drawn."""

from __future__ import annotations

from dataclasses import replace

from autopeft.deltas import Part
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
from autopeft.methods.lora import KNOBS, PROJECTIONS
from autopeft.methods.lora import recipe as lora
from autopeft.methods.recipe import Knobs, made_of
from autopeft.records import BackboneShape, Placement


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return LoRA's parts with A frozen; the artifact holds A too, as any LoRA's."""
    parts = lora(shape, placement, knobs)
    return [replace(part, settings={**part.settings, "freeze_a": True}) for part in parts]


METHODS.register(
    MethodInfo(
        **made_of("lora_fa", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="LoRA with A frozen: only B trains",
        paper="Zhang et al. (2023), LoRA-FA: Memory-efficient Low-rank Adaptation for Large "
        "Language Models Fine-tuning",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=4e-3, spread=4.0, source="a guess: twice LoRA's, since only B moves"
        ),
        mergeable=True,
    )
)
