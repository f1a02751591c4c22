"""Fixed combinations: a prefix or norms together with adapters."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.adapter import SCALE, WIDTH, parallel, serial
from autopeft.methods.ln_tuning import recipe as norms
from autopeft.methods.prefix import TOKENS, prefix_part
from autopeft.methods.recipe import Knobs, layers_of, made_of
from autopeft.records import BackboneShape, Placement

LN_TUNING = (
    "Qi et al. (2022), Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language "
    "Models"
)


def mam(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prefix in the attention and a scaled adapter beside the feed-forward."""
    layers = layers_of(shape, placement)
    prefixes = [prefix_part(shape, layer, tokens=int(knobs["tokens"])) for layer in layers]
    return prefixes + [parallel(shape, layer, "ffn.out", knobs) for layer in layers]


def prefix_ln(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prefix in the attention and the norms of the layers."""
    layers = layers_of(shape, placement)
    prefixes = [prefix_part(shape, layer, tokens=int(knobs["tokens"])) for layer in layers]
    rule = placement.layers if placement else "all"
    return prefixes + norms(shape, Placement(sites=("norm",), layers=rule), {})


def prefix_adapter_ln(
    shape: BackboneShape, placement: Placement | None, knobs: Knobs
) -> list[Part]:
    """Return a prefix, an adapter after the attention, and the norms."""
    layers = layers_of(shape, placement)
    adapters = [serial(shape, layer, "attn.out", knobs) for layer in layers]
    return prefix_ln(shape, placement, knobs) + adapters


METHODS.register(
    MethodInfo(
        **made_of(
            "mam",
            mam,
            {
                "tokens": Knob(default=30, low=1, high=200, log=True, help="length of the prefix"),
                "width": WIDTH,
                "scale": SCALE,
            },
        ),
        family="combined",
        description="mix and match: a prefix and a scaled adapter beside the feed-forward",
        paper="He et al. (2022), Towards a Unified View of Parameter-Efficient Transfer Learning",
        sites=(),
        learning_rate=LearningRatePrior(median=1e-3, spread=4.0, source="as its adapter"),
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("prefix_ln", prefix_ln, {"tokens": TOKENS}),
        family="combined",
        description="a prefix and the norms",
        paper=LN_TUNING,
        sites=(),
        learning_rate=LearningRatePrior(median=8e-3, spread=4.0, source="as ln_tuning"),
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("prefix_adapter_ln", prefix_adapter_ln, {"tokens": TOKENS, "width": WIDTH}),
        family="combined",
        description="a prefix, adapters after the attention, and the norms",
        paper=LN_TUNING,
        sites=(),
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="between its parts"),
        native=False,
    )
)
