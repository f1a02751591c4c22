"""DoRA: LoRA on the direction of a weight, with its magnitude trained apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import METHODS, LearningRatePrior, MethodInfo, modules_at, needs_sites
from autopeft.methods.lora import KNOBS, PROJECTIONS, lora_config
from autopeft.methods.lora import count as lora_count
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return LoRA's count plus one magnitude per output: ``r·(fan_in + fan_out) + fan_out``."""
    magnitudes = sum(module.fan_out for module in modules_at(shape, placement))
    return lora_count(shape, placement, knobs) + magnitudes


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    del total_steps
    return lora_config(candidate, shape, heads, dora=True)


METHODS.register(
    MethodInfo(
        name="dora",
        family="low-rank",
        description="LoRA on a weight's direction, with a trained magnitude per output",
        paper="Liu et al. (2024), DoRA: Weight-Decomposed Low-Rank Adaptation",
        knobs=KNOBS,
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*PROJECTIONS),
        mergeable=True,
    )
)
