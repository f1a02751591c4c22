"""UniPELT: LoRA, prefix and adapter together, each behind a gate of its own in every layer."""

from __future__ import annotations

from dataclasses import replace

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.adapter import WIDTH, serial
from autopeft.methods.prefix import TOKENS, prefix_part
from autopeft.methods.recipe import Knobs, at_site, layers_of, made_of, part_at, sits_at
from autopeft.records import BackboneShape, ModuleShape, Placement

PAPER = (
    "Mao et al. (2022), UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning"
)
RATE = LearningRatePrior(median=2e-3, spread=4.0, source="as LoRA (paper: 5e-4)")
RANK = Knob(default=8, low=1, high=64, log=True, help="rank of the updates of q and v")
BLOCKS = Placement(sites=("attn.block", "ffn.block"))
"""Prefix and LoRA sit in the attention block, the adapter in the feed-forward's."""


def gated(part: Part) -> Part:
    """Return the part behind a gate of its own, which reads what the part reads."""
    return replace(part, gate="own", gate_width=part.fan_in)


def adapter_and_prefix(
    shape: BackboneShape, placement: Placement | None, knobs: Knobs
) -> list[Part]:
    """Return a gated prefix and a gated adapter after the feed-forward in every layer."""
    parts = []
    for layer in layers_of(shape, placement):
        if sits_at(placement, "attn.block"):
            parts.append(gated(prefix_part(shape, layer, tokens=int(knobs["tokens"]))))
        if sits_at(placement, "ffn.block"):
            parts.append(gated(serial(shape, layer, "ffn.out", {"width": knobs["width"]})))
    return parts


def unipelt(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return the above and gated updates of q and v, whose gates stand in the place of α/r."""
    parts = adapter_and_prefix(shape, placement, knobs)
    if sits_at(placement, "attn.block"):
        for layer in layers_of(shape, placement):
            for module in projections(shape, layer, "attn.q", "attn.v"):
                parts.append(gated(low_rank(module, int(knobs["r"]))))
    return parts


def projections(shape: BackboneShape, layer: int, *sites: str) -> list[ModuleShape]:
    """Return the modules at sites of the attention, by name, a fused projection once."""
    modules = {at_site(shape, site, layer)[0] for site in sites}
    return sorted(modules, key=lambda module: module.name)


def low_rank(module: ModuleShape, r: int) -> Part:
    """Return an update whose gate, if it gets one, stands in the place of the scale α/r."""
    return part_at("low_rank", module, settings={"r": r, "scaled": False})


METHODS.register(
    MethodInfo(
        **made_of("unipelt", unipelt, {"tokens": TOKENS, "width": WIDTH, "r": RANK}, BLOCKS),
        family="gated",
        description="adapter, prefix and LoRA, each behind a gate (APL)",
        paper=PAPER,
        sites=BLOCKS.sites,
        learning_rate=RATE,
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("unipelt_ap", adapter_and_prefix, {"tokens": TOKENS, "width": WIDTH}, BLOCKS),
        family="gated",
        description="adapter and prefix, each behind a gate (AP)",
        paper=PAPER,
        sites=BLOCKS.sites,
        learning_rate=RATE,
        native=False,
    )
)
