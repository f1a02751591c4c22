"""VeRA: fixed random projections shared by all modules, two trained vectors for each."""

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
    from peft import VeraConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``r + fan_out`` summed over the modules; the projections are not trained."""
    return sum(int(knobs["r"]) + module.fan_out for module in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> VeraConfig:
    """Return a config that stores the projections, so that any version of torch can load them."""
    from peft import VeraConfig

    del total_steps
    return VeraConfig(
        r=int(candidate.knobs["r"]),
        d_initial=float(candidate.knobs["d_initial"]),
        save_projection=True,
        fan_in_fan_out=shape.architecture in TRANSPOSED,
        target_modules=names_at(shape, candidate.placement),
        modules_to_save=list(heads),
    )


METHODS.register(
    MethodInfo(
        name="vera",
        family="low-rank",
        description="two trained vectors around random projections shared by all modules",
        paper="Kopiczko et al. (2024), VeRA: Vector-based Random Matrix Adaptation",
        knobs={
            "r": Knob(default=256, low=16, high=1024, log=True, help="rank of the projections"),
            "d_initial": Knob(default=0.1, choices=(0.1, 1e-7), help="start of the inner vector"),
        },
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 4e-3..1e-2)"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*PROJECTIONS),
        mergeable=True,
    )
)
