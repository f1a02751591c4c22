"""LoRA: a low-rank update beside a frozen projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autopeft.deltas import Part
from autopeft.methods import (
    METHODS,
    Knob,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    needs_sites,
)
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

PROJECTIONS = ("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out")
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt")
KNOBS: Mapping[str, Knob] = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of the update"),
    "alpha": Knob(
        default=16, low=1, high=128, log=True, help="numerator of the scale α/r; often r or 2r"
    ),
    "dropout": Knob(default=0.0, choices=(0.0, 0.05, 0.1), help="dropout before the update"),
    "rslora": Knob(
        default=False, choices=(False, True), help="scale α/√r instead of α/r (Kalajdzievski, 2023)"
    ),
}


def needs_untransposed(tuner: str) -> Callable[[BackboneShape, int], str | None]:
    """Return an `excluded` rule for a tuner of peft without a layer for transposed projections."""

    def excluded(shape: BackboneShape, longest: int) -> str | None:
        if shape.architecture in TRANSPOSED:
            architecture = shape.architecture
            return f"peft's {tuner} has no layer for the transposed projections of {architecture}"
        return needs_sites(*PROJECTIONS)(shape, longest)

    return excluded


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a low-rank update at every module of the placement."""
    dropout = float(knobs["dropout"])
    settings = {name: value for name, value in knobs.items() if name != "dropout"}
    return [
        part_at("low_rank", module, settings=settings, dropout=dropout)
        for module in modules_at(shape, placement)
    ]


METHODS.register(
    MethodInfo(
        **made_of("lora", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="adds a low-rank update B·A·α/r to frozen projections",
        paper="Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-3)"
        ),
        mergeable=True,
    )
)
