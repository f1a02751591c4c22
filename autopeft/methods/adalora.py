"""AdaLoRA: low-rank updates that share one budget of ranks between them.

An update is P·Λ·Q with a diagonal Λ. While training, the least important entries of Λ are set to
zero until the average rank is ``r``; a penalty keeps P and Q near orthogonal. All entries stay
trained, so the trained count does not shrink; the artifact leaves out what ended at zero.
"""

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
from autopeft.methods.lora import PROJECTIONS, TRANSPOSED
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    import torch
    from peft import AdaLoraConfig, PeftModel

WARM_SHARE, FINAL_SHARE = 0.1, 0.3
ALLOCATIONS = 50


def _initial_rank(knobs: Mapping[str, Scalar]) -> int:
    """Return 1.5 times the target, as in the paper; more than it, so that something can go."""
    rank = int(knobs["r"])
    return max(rank + 1, rank * 3 // 2)


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``r₀·(fan_in + fan_out + 1)`` summed over the modules, r₀ the initial rank."""
    rank = _initial_rank(knobs)
    return sum(rank * (m.fan_in + m.fan_out + 1) for m in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> AdaLoraConfig:
    from peft import AdaLoraConfig

    assert total_steps is not None, "see needs_total_steps"
    return AdaLoraConfig(
        init_r=_initial_rank(candidate.knobs),
        target_r=int(candidate.knobs["r"]),
        lora_alpha=int(candidate.knobs["alpha"]),
        orth_reg_weight=float(candidate.knobs["orthogonal"]),
        total_step=total_steps,
        tinit=int(WARM_SHARE * total_steps),
        tfinal=int(FINAL_SHARE * total_steps),
        deltaT=max(1, total_steps // ALLOCATIONS),
        fan_in_fan_out=shape.architecture in TRANSPOSED,
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


def _penalty(model: PeftModel) -> torch.Tensor:
    """Return the weighted mean of ‖P·Pᵀ − I‖ over all P and Q."""
    import torch

    weight: float = model.peft_config["default"].orth_reg_weight
    norms = []
    for name, p in model.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            gram = p @ p.T if ".lora_A." in name else p.T @ p
            norms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=p.device)))
    return weight * torch.stack(norms).mean()


def _after_step(model: PeftModel, done: int) -> None:
    """Move the budget of ranks; needs the gradients, so before they are zeroed.

    peft counts steps from 0, and needs one with gradients before it can allocate.
    """
    model.base_model.update_and_allocate(done - 1)


def _before_save(model: PeftModel) -> None:
    """Tell peft which ranks to write: those that are not zero, at least one per module.

    peft's own record is that of the last step, which need not be the step whose weights are kept.
    """
    inner = model.base_model.model
    kept = {n: (p != 0).view(-1) for n, p in inner.named_parameters() if ".lora_E." in n}
    for mask in kept.values():
        mask[0] |= not mask.any()
    model.peft_config["default"].rank_pattern = {name: m.tolist() for name, m in kept.items()}


METHODS.register(
    MethodInfo(
        name="adalora",
        family="low-rank",
        description="low-rank updates that share one shrinking budget of ranks",
        paper="Zhang et al. (2023), Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning",
        knobs={
            "r": Knob(default=8, low=1, high=64, log=True, help="average rank at the end"),
            "alpha": Knob(
                default=32, low=1, high=128, log=True, help="scale (authors' scripts: 32)"
            ),
            "orthogonal": Knob(default=0.1, low=0.01, high=1.0, log=True, help="penalty's weight"),
        },
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=8e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 5e-4..2e-3)"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*PROJECTIONS),
        mergeable=True,
        needs_total_steps=True,
        penalty=_penalty,
        after_step=_after_step,
        before_save=_before_save,
    )
)
