"""Adapters: small bottleneck networks in or beside the sublayers."""

from __future__ import annotations

from collections.abc import Callable

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.recipe import (
    Knobs,
    Recipe,
    at_site,
    by_example,
    layers_of,
    made_of,
    part_at,
    sits_at,
)
from autopeft.records import BackboneShape, Placement

WIDTH = Knob(default=48, low=1, high=512, log=True, help="width of the bottleneck")
KNOBS = {
    "width": WIDTH,
    "activation": Knob(
        default="relu", choices=("relu", "gelu", "swish"), help="function inside the bottleneck"
    ),
}
SCALE = Knob(default=4.0, low=0.25, high=16.0, log=True, help="fixed factor s of Δh")
LAST = {"attn.block": "attn.out", "ffn.block": "ffn.out"}
"""Site of the last projection of a block, whose output an adapter changes."""

FFN = Placement(sites=("ffn.block",))
RATE = LearningRatePrior(
    median=3e-3,
    spread=4.0,
    source="MiniLM, 1,000 rows of subj and of tweet_emotion, 5 epochs (T-Few: 3e-3)",
)


def serial(shape: BackboneShape, layer: int, site: str, knobs: Knobs) -> Part:
    """Return an adapter after a sublayer: it reads and changes the sublayer's output.

    Args:
        shape: the backbone.
        layer: of the adapter.
        site: ``"attn.out"`` or ``"ffn.out"``, the last projection of the sublayer.
        knobs: ``width`` and, if given, ``activation`` and ``scale``.
    """
    module = at_site(shape, site, layer)[-1]
    width = module.fan_out
    return part_at("bottleneck", module, fan_in=width, reads="output", settings=_settings(knobs))


def parallel(shape: BackboneShape, layer: int, site: str, knobs: Knobs) -> Part:
    """Return an adapter beside a sublayer: it reads what the sublayer reads."""
    first = by_example(shape, at_site(shape, "ffn.in" if site == "ffn.out" else "attn.v", layer)[0])
    module = at_site(shape, site, layer)[-1]
    return part_at(
        "bottleneck",
        module,
        fan_in=first.fan_in,
        reads=first.name,
        settings=_settings(knobs),
    )


def _settings(knobs: Knobs) -> Knobs:
    return {name: knobs[name] for name in ("width", "activation", "scale") if name in knobs}


def _at_blocks(make: Callable[[BackboneShape, int, str, Knobs], Part]) -> Recipe:
    """Return the recipe of one adapter at every block that the placement names."""

    def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
        return [
            make(shape, layer, site, knobs)
            for layer in layers_of(shape, placement)
            for block, site in LAST.items()
            if sits_at(placement, block)
        ]

    return recipe


after, beside = _at_blocks(serial), _at_blocks(parallel)

METHODS.register(
    MethodInfo(
        **made_of("houlsby", after, KNOBS, Placement(sites=tuple(LAST))),
        family="adapter",
        description="adapters after attention and after feed-forward",
        paper="Houlsby et al. (2019), Parameter-Efficient Transfer Learning for NLP",
        sites=tuple(LAST),
        learning_rate=RATE,
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("pfeiffer", after, KNOBS, FFN),
        family="adapter",
        description="adapters after the feed-forward",
        paper="Pfeiffer et al. (2021), AdapterFusion: Non-Destructive Task Composition for "
        "Transfer Learning",
        sites=FFN.sites,
        learning_rate=RATE,
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("parallel_adapter", beside, KNOBS, FFN),
        family="adapter",
        description="adapters beside the feed-forward",
        paper="He et al. (2022), Towards a Unified View of Parameter-Efficient Transfer Learning",
        sites=tuple(LAST),
        learning_rate=RATE,
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("scaled_parallel_adapter", beside, {**KNOBS, "scale": SCALE}, FFN),
        family="adapter",
        description="adapters beside the feed-forward, times a fixed scale",
        paper="He et al. (2022), Towards a Unified View of Parameter-Efficient Transfer Learning",
        sites=tuple(LAST),
        learning_rate=LearningRatePrior(
            median=1e-3, spread=4.0, source="a guess: lower, as the scale multiplies steps too"
        ),
        native=False,
    )
)
