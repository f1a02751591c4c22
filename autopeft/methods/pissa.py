"""PiSSA and OLoRA: LoRA that starts from parts of the weights themselves.

Both take a matrix of rank r out of each frozen weight and train it. The artifact does not hold
changed weights: it is a plain LoRA of rank 2r for the untouched backbone, whose update is what
training added, s·(B·A − B₀·A₀).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autopeft.methods import (
    METHODS,
    Knob,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    names_at,
    needs_sites,
)
from autopeft.methods.lora import PROJECTIONS, TRANSPOSED, needs_untransposed
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig, PeftModel
    from torch import Tensor

    Config = Callable[[Candidate, BackboneShape, tuple[str, ...], int | None], LoraConfig]

KNOBS: Mapping[str, Knob] = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of what is taken out and trained"),
    "alpha": Knob(default=8, low=1, high=128, log=True, help="numerator of the scale α/r"),
}
"""No dropout: it would drop a part of the pretrained weights themselves."""


def _rank(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return the rank asked for, at most that of the narrowest weight."""
    narrowest = min(min(m.fan_in, m.fan_out) for m in modules_at(shape, placement))
    return min(int(knobs["r"]), narrowest)


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return LoRA's count, ``r·(fan_in + fan_out)`` summed over the modules."""
    r = _rank(shape, placement, knobs)
    return sum(r * (m.fan_in + m.fan_out) for m in modules_at(shape, placement))


def _config_from(start: str) -> Config:
    def config(
        candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
    ) -> LoraConfig:
        from peft import LoraConfig

        del total_steps
        return LoraConfig(
            r=_rank(shape, candidate.placement, candidate.knobs),
            lora_alpha=int(candidate.knobs["alpha"]),
            init_lora_weights=start,
            fan_in_fan_out=shape.architecture in TRANSPOSED,
            target_modules=names_at(shape, candidate.placement),
            modules_to_save=list(heads),
        )

    return config


def _delivered(
    model: PeftModel, start: Mapping[str, Tensor]
) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Return the LoRA of rank 2r with A' = [A; A₀] and B' = [B, −B₀]; α doubles, so s stays."""
    import torch
    from peft import get_peft_model_state_dict

    config: Any = copy.deepcopy(model.peft_config["default"])
    config.r, config.lora_alpha = 2 * config.r, 2 * config.lora_alpha
    config.init_lora_weights = True
    weights: dict[str, Tensor] = {}
    for name, value in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        first = start.get(f"{name.removesuffix('weight')}default.weight")
        if name.endswith("lora_A.weight") and first is not None:
            value = torch.cat([value, first])
        elif name.endswith("lora_B.weight") and first is not None:
            value = torch.cat([value, -first], dim=1)
        weights[name] = value
    return config, weights


METHODS.register(
    MethodInfo(
        name="pissa",
        family="low-rank",
        description="LoRA that starts from the principal singular values of each weight",
        paper="Meng et al. (2024), PiSSA: Principal Singular Values and Singular Vectors "
        "Adaptation of Large Language Models",
        knobs=KNOBS,
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=5e-4, spread=4.0, source="a guess: below LoRA's"),
        count=_count,
        config=_config_from("pissa"),
        excluded=needs_sites(*PROJECTIONS),
        rewrites_base=True,
        mergeable=True,
        delivered=_delivered,
    )
)

METHODS.register(
    MethodInfo(
        name="olora",
        family="low-rank",
        description="LoRA that starts from orthonormal columns, by a QR decomposition",
        paper="Büyükakyüz (2024), OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models",
        knobs=KNOBS,
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=5e-4, spread=4.0, source="a guess: below LoRA's"),
        count=_count,
        config=_config_from("olora"),
        excluded=needs_untransposed("OLoRA"),
        rewrites_base=True,
        mergeable=True,
        delivered=_delivered,
    )
)
