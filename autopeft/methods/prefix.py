"""Prefix tuning: trained keys and values before those of the text, in every layer."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.recipe import Knobs, at_site, layers_of, made_of, part_at
from autopeft.records import BackboneShape, Placement

TOKENS = Knob(default=10, low=1, high=200, log=True, help="length of the prefix")

PLACEMENT = Placement(sites=("attn.prefix",))


def prefix_part(shape: BackboneShape, layer: int, *, tokens: int, inner: int = 0) -> Part:
    """Return the prefix of one layer's attention, at the projection that makes its keys.

    Raises:
        IncompatibleMethodError: the attention of this architecture takes no prefix.
    """
    if not shape.attention_interface:
        raise IncompatibleMethodError(
            f"{shape.architecture} computes its attention itself, so that no prefix reaches it"
        )
    module = at_site(shape, "attn.k", layer)[0]
    settings = {"tokens": tokens, "inner": inner} if inner else {"tokens": tokens}
    return part_at("prefix", module, fan_out=shape.kv_width, changes="attention", settings=settings)


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return one prefix per layer."""
    tokens, inner = int(knobs["tokens"]), int(knobs.get("inner", 0))
    return [
        prefix_part(shape, layer, tokens=tokens, inner=inner)
        for layer in layers_of(shape, placement)
    ]


METHODS.register(
    MethodInfo(
        **made_of(
            "prefix",
            recipe,
            {
                "tokens": TOKENS,
                "inner": Knob(
                    default=0,
                    choices=(0, 128, 512),
                    help="width of the re-parametrisation, dropped at delivery; 0 for none",
                ),
            },
            PLACEMENT,
        ),
        family="prefix",
        description="trains keys and values before those of the text, in every layer",
        paper="Li & Liang (2021), Prefix-Tuning: Optimizing Continuous Prompts for Generation",
        sites=PLACEMENT.sites,
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 1e-2)"
        ),
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of(
            "p_tuning_v2",
            recipe,
            {"tokens": Knob(default=20, low=1, high=200, log=True, help="length of the prefix")},
            PLACEMENT,
        ),
        family="prefix",
        description="deep prompts: a prefix in every layer, without re-parametrisation",
        paper="Liu et al. (2022), P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning "
        "Universally Across Scales and Tasks",
        sites=PLACEMENT.sites,
        learning_rate=LearningRatePrior(
            median=3e-2,
            spread=4.0,
            source="MiniLM, 1,000 rows of subj, tweet_emotion and clinc150_small, 5 epochs "
            "(paper: 5e-3..1e-2)",
        ),
        native=False,
    )
)
