"""Fixed combinations: a prefix or norms together with adapters."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.adapter import SCALE, WIDTH, parallel, serial
from autopeft.methods.ln_tuning import norms_named
from autopeft.methods.prefix import TOKENS, prefix_part
from autopeft.methods.recipe import Knobs, layers_of, made_of, sits_at
from autopeft.records import BackboneShape, Placement

LN_TUNING = (
    "Qi et al. (2022), Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language "
    "Models"
)


def mam(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prefix in the attention and a scaled adapter beside the feed-forward."""
    parts = prefixes(shape, placement, knobs)
    if sits_at(placement, "ffn.block"):
        layers = layers_of(shape, placement)
        parts += [parallel(shape, layer, "ffn.out", knobs) for layer in layers]
    return parts


def prefixes(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prefix per layer, if the placement names its site."""
    if not sits_at(placement, "attn.prefix"):
        return []
    tokens = int(knobs["tokens"])
    return [prefix_part(shape, layer, tokens=tokens) for layer in layers_of(shape, placement)]


def prefix_ln(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prefix in the attention and the norms of the layers."""
    return prefixes(shape, placement, knobs) + norms_named(shape, placement)


def prefix_adapter_ln(
    shape: BackboneShape, placement: Placement | None, knobs: Knobs
) -> list[Part]:
    """Return a prefix, an adapter after the attention, and the norms."""
    parts = prefix_ln(shape, placement, knobs)
    if sits_at(placement, "attn.block"):
        layers = layers_of(shape, placement)
        parts += [serial(shape, layer, "attn.out", knobs) for layer in layers]
    return parts


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
            Placement(sites=("attn.prefix", "ffn.block")),
        ),
        family="combined",
        description="mix and match: a prefix and a scaled adapter beside the feed-forward",
        paper="He et al. (2022), Towards a Unified View of Parameter-Efficient Transfer Learning",
        sites=("attn.prefix", "ffn.block"),
        learning_rate=LearningRatePrior(median=1e-3, spread=4.0, source="as its adapter"),
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of(
            "prefix_ln", prefix_ln, {"tokens": TOKENS}, Placement(sites=("attn.prefix", "norm"))
        ),
        family="combined",
        description="a prefix and the norms",
        paper=LN_TUNING,
        sites=("attn.prefix", "norm"),
        learning_rate=LearningRatePrior(median=8e-3, spread=4.0, source="as ln_tuning"),
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of(
            "prefix_adapter_ln",
            prefix_adapter_ln,
            {"tokens": TOKENS, "width": WIDTH},
            Placement(sites=("attn.prefix", "attn.block", "norm")),
        ),
        family="combined",
        description="a prefix, adapters after the attention, and the norms",
        paper=LN_TUNING,
        sites=("attn.prefix", "attn.block", "norm"),
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="between its parts"),
        native=False,
    )
)
