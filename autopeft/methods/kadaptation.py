"""KAdaptation: updates that are sums of Kronecker products, half of whose factors all share.

The paper adapts the modules whose hidden states fill the fewest dimensions. `chosen_modules` finds
them from some inputs, as a value of the knob ``modules``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from autopeft.deltas import Part
from autopeft.errors import ConfigError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, ModuleShape, Placement, placed

if TYPE_CHECKING:
    from torch import Tensor

    from autopeft.backbone.load import Backbone

KNOBS = {
    "terms": Knob(default=32, choices=(8, 16, 32, 64), help="Kronecker products in an update"),
    "scale": Knob(default=160.0, low=1.0, high=320.0, log=True, help="fixed factor of the update"),
    "modules": Knob(
        default="",
        help="in place of the placement, sites with a bit per layer: attn.q:1100 attn.v:0110",
    ),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return an update of Kronecker products at every module that is named, or of the placement.

    The shared factors are as long as there are terms (the paper's), or as the largest common
    divisor of that and all widths, where a width is no multiple of it.

    Raises:
        ConfigError: a module is named that the backbone does not have.
    """
    named = str(knobs.get("modules", ""))
    modules = _named(shape, named) if named else modules_at(shape, placement)
    terms = int(knobs["terms"])
    side = math.gcd(terms, *(fan for m in modules for fan in (m.fan_in, m.fan_out)))
    settings = {"terms": terms, "side": side, "scale": knobs["scale"]}
    return [part_at("kronecker", m, settings=settings, shares="slow") for m in modules]


def chosen_modules(
    backbone: Backbone,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    count: int,
    sites: tuple[str, ...] = PROJECTIONS,
) -> str:
    """Return the modules of the smallest local intrinsic dimension, as a value of ``modules``.

    A layer with two modules at one site counts with the smaller dimension, and gets both.

    Args:
        backbone: the pretrained model.
        batches: inputs of it, such as the training texts; 2,000 tokens of them are looked at.
        count: how many sites of layers are chosen, at least 1.
        sites: what there is to choose from; none of the others are.

    Raises:
        IncompatibleMethodError: the backbone has no module at these sites.
        ValueError: the batches hold too few different tokens.
    """
    from autopeft.backbone.intrinsic import intrinsic_dimensions

    modules = {module.name: module for module in modules_at(backbone.shape, Placement(sites=sites))}
    found = intrinsic_dimensions(backbone.model, batches, list(modules))
    ranked = dict.fromkeys((modules[name].site, modules[name].layer) for name in found)
    best = list(ranked)[:count]
    masks = {
        site: "".join(str(int((site, layer) in best)) for layer in range(backbone.shape.layers))
        for site in sorted({site for site, _ in best})
    }
    return " ".join(f"{site}:{bits}" for site, bits in masks.items())


def _named(shape: BackboneShape, text: str) -> tuple[ModuleShape, ...]:
    """Return the modules that a value of the knob names, a fused projection once."""
    found: list[ModuleShape] = []
    for entry in text.split():
        site, _, bits = entry.partition(":")
        try:
            at = placed(shape, Placement(sites=(site,), layers=f"mask:{bits}"))
        except ValueError as error:
            raise ConfigError(f"kadaptation: modules {entry!r}: {error}") from error
        if site not in (*PROJECTIONS, "attn.qkv") or not at:
            raise ConfigError(f"kadaptation: {shape.architecture} has no modules {entry!r}")
        found += at
    return tuple(dict.fromkeys(found))


METHODS.register(
    MethodInfo(
        **made_of("kadaptation", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="kronecker",
        description="adds sums of Kronecker products whose first factors all layers share",
        paper="He et al. (2023), Parameter-efficient Model Adaptation for Vision Transformers",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(
            median=5e-3,
            spread=4.0,
            source="MiniLM, 500 rows of subj, 3 epochs: between 2e-3 and 8e-3",
        ),
        native=False,
        mergeable=True,
    )
)
