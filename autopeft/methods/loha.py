"""LoHa: an update that is the elementwise product of two low-rank matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import (
    METHODS,
    Knob,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    names_at,
)
from autopeft.methods.lora import PROJECTIONS, needs_untransposed
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoHaConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``2·r·(fan_in + fan_out)`` summed over the modules: twice LoRA of that rank."""
    r = int(knobs["r"])
    return sum(2 * r * (m.fan_in + m.fan_out) for m in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoHaConfig:
    from peft import LoHaConfig

    del total_steps
    return LoHaConfig(
        r=int(candidate.knobs["r"]),
        alpha=int(candidate.knobs["alpha"]),
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


METHODS.register(
    MethodInfo(
        name="loha",
        family="low-rank",
        description="adds the elementwise product of two low-rank matrices, of rank up to r²",
        paper="Hyeon-Woo et al. (2022), FedPara: Low-Rank Hadamard Product for "
        "Communication-Efficient Federated Learning",
        knobs={
            "r": Knob(default=8, low=1, high=64, log=True, help="rank of each of the two"),
            "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
        },
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="a guess: as LoRA"),
        count=_count,
        config=_config,
        excluded=needs_untransposed("LoHa"),
        mergeable=True,
    )
)
