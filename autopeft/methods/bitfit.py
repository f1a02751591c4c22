"""BitFit: every bias of the backbone, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return the lengths of all bias vectors, those of norms included."""
    del placement, knobs
    return shape.bias_params


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    """Return a LoRA config that adapts no module but trains and stores every bias.

    This is a plain peft adapter: loading it writes the biases into the model it is loaded on.
    """
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    del candidate, shape, total_steps
    return LoraConfig(
        r=1, bias="all", target_modules=DUMMY_TARGET_MODULES, modules_to_save=list(heads)
    )


def _excluded(shape: BackboneShape, longest: int) -> str | None:
    del longest
    return None if shape.bias_params else f"this {shape.architecture} has no biases"


METHODS.register(
    MethodInfo(
        name="bitfit",
        family="bias",
        description="trains every bias of the backbone",
        paper="Ben Zaken et al. (2022), BitFit: Simple Parameter-efficient Fine-tuning for "
        "Transformer-based Masked Language-models",
        knobs={},
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=4e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 1e-4..1e-3)"
        ),
        count=_count,
        config=_config,
        excluded=_excluded,
        trains_base="bias",
        mergeable=True,
        low_precision=False,
    )
)
