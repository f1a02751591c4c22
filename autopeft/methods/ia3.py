"""(IA)³: vectors that rescale keys, values and the feed-forward's inner activations."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, ModuleShape, Placement

SITES = ("attn.k", "attn.v", "attn.q", "ffn.out")
INPUT_SITES = ("ffn.out",)
"""Sites whose input is rescaled: there it is the inner activation of the feed-forward."""


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a vector of scales at every module of the placement."""
    del knobs
    return [_scale(module) for module in modules_at(shape, placement)]


def _scale(module: ModuleShape) -> Part:
    if module.site in INPUT_SITES:
        return part_at("scale", module, fan_out=module.fan_in, changes="input")
    return part_at("scale", module, reads="output")


METHODS.register(
    MethodInfo(
        **made_of("ia3", recipe, {}, Placement(sites=("attn.k", "attn.v", "ffn.out"))),
        family="scale",
        description="rescales keys, values and inner activations by trained vectors",
        paper="Liu et al. (2022), Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper "
        "than In-Context Learning",
        sites=SITES,
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-3)"
        ),
        mergeable=True,
    )
)
