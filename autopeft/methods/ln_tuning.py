"""LN-tuning: the weights and biases of the layers' norms."""

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
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LNTuningConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return weight plus bias of each norm (an RMS norm has no bias)."""
    del knobs
    return sum(module.fan_in + module.bias for module in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LNTuningConfig:
    """Return a config that trains copies of the norms, so the backbone's own stay as they are."""
    from peft import LNTuningConfig

    del total_steps
    return LNTuningConfig(
        target_modules=names_at(shape, candidate.placement), modules_to_save=list(heads)
    )


METHODS.register(
    MethodInfo(
        name="ln_tuning",
        family="norm",
        description="trains the norms of the layers",
        paper="Zhao et al. (2024), Tuning LayerNorm in Attention: Towards Efficient Multi-Modal "
        "LLM Finetuning",
        knobs={},
        placement=Placement(sites=("norm",)),
        sites=("norm",),
        learning_rate=LearningRatePrior(
            median=8e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-4)"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites("norm"),
        mergeable=True,
    )
)
