"""DoRA: LoRA on the direction of a weight, with its magnitude trained apart."""

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
from autopeft.methods.lora import KNOBS, PROJECTIONS, TRANSPOSED
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return LoRA's count plus one magnitude per output: ``r·(fan_in + fan_out) + fan_out``."""
    r = int(knobs["r"])
    return sum(r * (m.fan_in + m.fan_out) + m.fan_out for m in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    from peft import LoraConfig

    del total_steps
    return LoraConfig(
        r=int(candidate.knobs["r"]),
        lora_alpha=int(candidate.knobs["alpha"]),
        lora_dropout=float(candidate.knobs["dropout"]),
        use_rslora=bool(candidate.knobs["rslora"]),
        use_dora=True,
        fan_in_fan_out=shape.architecture in TRANSPOSED,
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


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
