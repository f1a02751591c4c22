"""The head alone: the floor that every other method must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    del shape, placement, knobs
    return 0


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    """Return a LoRA config that adapts no module: the artifact holds the head and nothing else."""
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    del candidate, shape, total_steps
    return LoraConfig(r=1, target_modules=DUMMY_TARGET_MODULES, modules_to_save=list(heads))


METHODS.register(
    MethodInfo(
        name="head_only",
        family="head",
        description="trains the head on frozen features",
        paper="Alain & Bengio (2017), Understanding intermediate layers using linear classifiers",
        knobs={},
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=3e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs"
        ),
        count=_count,
        config=_config,
        excluded=lambda _shape, _longest: None,
        mergeable=True,
    )
)
