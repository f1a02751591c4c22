"""Partial fine-tuning: the weights of chosen modules, and nothing else.

The placement says which: its sites name the parts (attention, feed-forward, norms), its rule of
layers the depth, as in the top two. Of an encoder-decoder the encoder's layers come first, so
``bottom:K`` is the encoder.
"""

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
from autopeft.methods.lora import PROJECTIONS
from autopeft.records import BackboneShape, Candidate, ModuleShape, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig

ATTENTION = ("attn.q", "attn.k", "attn.v", "attn.out")
SITES = (*PROJECTIONS, "norm")


def _size(module: ModuleShape) -> int:
    weight = module.fan_out if module.site == "norm" else module.fan_in * module.fan_out
    return weight + module.bias


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``fan_in·fan_out`` of each projection and the width of each norm, with the biases."""
    del knobs
    return sum(_size(module) for module in modules_at(shape, placement))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    """Return a LoRA config that adapts no module but trains copies of some, beside the head.

    The copies are peft's own, so the shared backbone stays as it is, and the artifact holds the
    trained modules alone.
    """
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    del total_steps
    trained = names_at(shape, candidate.placement)
    return LoraConfig(r=1, target_modules=DUMMY_TARGET_MODULES, modules_to_save=[*trained, *heads])


METHODS.register(
    MethodInfo(
        name="partial",
        family="full",
        description="trains the weights of chosen modules: parts of the layers, or the top layers",
        paper="Cooper Stickland et al. (2021), Recipes for Adapting Pre-trained Monolingual and "
        "Multilingual Models to Machine Translation",
        knobs={},
        placement=Placement(sites=ATTENTION),
        sites=SITES,
        learning_rate=LearningRatePrior(
            median=1e-4, spread=4.0, source="a guess: between full fine-tuning's and LN-tuning's"
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*SITES),
        trains_base="those of its placement",
        mergeable=True,
    )
)
