"""LoRA: a low-rank update beside a frozen projection."""

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
    needs_sites,
)
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig

PROJECTIONS = ("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out")
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt")
KNOBS: Mapping[str, Knob] = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of the update"),
    "alpha": Knob(
        default=16, low=1, high=128, log=True, help="numerator of the scale α/r (paper: 2r)"
    ),
    "dropout": Knob(default=0.0, choices=(0.0, 0.05, 0.1), help="dropout before the update"),
    "rslora": Knob(
        default=False, choices=(False, True), help="scale α/√r instead of α/r (Kalajdzievski, 2023)"
    ),
}


def count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``r·(fan_in + fan_out)`` summed over the modules."""
    return sum(int(knobs["r"]) * (m.fan_in + m.fan_out) for m in modules_at(shape, placement))


def lora_config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], *, dora: bool
) -> LoraConfig:
    """Return a fresh peft config; GPT-2 stores its projections transposed."""
    from peft import LoraConfig

    return LoraConfig(
        r=int(candidate.knobs["r"]),
        lora_alpha=int(candidate.knobs["alpha"]),
        lora_dropout=float(candidate.knobs["dropout"]),
        use_rslora=bool(candidate.knobs["rslora"]),
        use_dora=dora,
        fan_in_fan_out=shape.architecture in TRANSPOSED,
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    del total_steps
    return lora_config(candidate, shape, heads, dora=False)


METHODS.register(
    MethodInfo(
        name="lora",
        family="low-rank",
        description="adds a low-rank update B·A·α/r to frozen projections",
        paper="Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models",
        knobs=KNOBS,
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-3)"
        ),
        count=count,
        config=_config,
        excluded=needs_sites(*PROJECTIONS),
        mergeable=True,
    )
)
