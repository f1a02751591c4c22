"""(IA)³: vectors that rescale keys, values and the feed-forward's inner activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import (
    METHODS,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    names_at,
    needs_sites,
)
from autopeft.methods.lora import TRANSPOSED
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import IA3Config

SITES = ("attn.k", "attn.v", "attn.q", "ffn.out")
INPUT_SITES = ("ffn.out",)


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return one scale per output; per input at ``ffn.out``, whose input is rescaled."""
    del knobs
    modules = modules_at(shape, placement)
    return sum(m.fan_in if m.site in INPUT_SITES else m.fan_out for m in modules)


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> IA3Config:
    from peft import IA3Config

    del total_steps
    modules = modules_at(shape, candidate.placement)
    return IA3Config(
        target_modules=names_at(shape, candidate.placement),
        feedforward_modules=[m.name for m in modules if m.site in INPUT_SITES],
        fan_in_fan_out=shape.architecture in TRANSPOSED,
        modules_to_save=list(heads),
    )


METHODS.register(
    MethodInfo(
        name="ia3",
        family="scale",
        description="rescales keys, values and inner activations by trained vectors",
        paper="Liu et al. (2022), Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper "
        "than In-Context Learning",
        knobs={},
        placement=Placement(sites=("attn.k", "attn.v", "ffn.out")),
        sites=SITES,
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-3)"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*SITES),
        mergeable=True,
    )
)
