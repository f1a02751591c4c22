"""Compacter: adapters of very few parameters, whose weights are sums of Kronecker products."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.adapter import LAST
from autopeft.methods.ln_tuning import norms_named
from autopeft.methods.recipe import Knobs, at_site, layers_of, made_of, part_at, sits_at
from autopeft.records import BackboneShape, Placement

PAPER = "Karimi Mahabadi et al. (2021), Compacter: Efficient Low-Rank Hypercomplex Adapter Layers"
SITES = (*LAST, "norm")
PLUS_PLUS = ("ffn.block", "norm")
KNOBS = {
    "reduction": Knob(
        default=32, low=2, high=64, log=True, help="width of the model over that of the bottleneck"
    ),
    "n": Knob(default=4, choices=(2, 4, 8), help="Kronecker products in a weight"),
    "activation": Knob(
        default="gelu", choices=("relu", "gelu", "swish"), help="function inside the bottleneck"
    ),
}
RATE = LearningRatePrior(median=3e-3, spread=4.0, source="the paper, and T-Few")


def hypercomplex(shape: BackboneShape, layer: int, site: str, knobs: Knobs) -> Part:
    """Return an adapter after a sublayer, whose width is a multiple of n.

    Args:
        shape: the backbone.
        layer: of the adapter.
        site: ``"attn.out"`` or ``"ffn.out"``.
        knobs: ``reduction``, ``n`` and ``activation``.

    Raises:
        IncompatibleMethodError: n does not divide the sublayer's width.
    """
    module = at_site(shape, site, layer)[-1]
    n, fan = int(knobs["n"]), module.fan_out
    if fan % n:
        raise IncompatibleMethodError(
            f"{shape.architecture} has width {fan} at {module.name}, no multiple of n = {n}"
        )
    width = n * max(1, fan // int(knobs["reduction"]) // n)
    settings = {"width": width, "n": n, "activation": knobs["activation"]}
    return part_at(
        "hypercomplex", module, fan_in=fan, reads="output", settings=settings, shares="rules"
    )


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return adapters after the sublayers that the placement names, and the norms if it does."""
    parts = [
        hypercomplex(shape, layer, site, knobs)
        for layer in layers_of(shape, placement)
        for block, site in LAST.items()
        if sits_at(placement, block)
    ]
    return parts + norms_named(shape, placement)


METHODS.register(
    MethodInfo(
        **made_of("compacter", recipe, KNOBS, Placement(sites=SITES)),
        family="hypercomplex",
        description="tiny adapters after attention and after feed-forward, and the norms",
        paper=PAPER,
        sites=SITES,
        learning_rate=RATE,
        native=False,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("compacter++", recipe, KNOBS, Placement(sites=PLUS_PLUS)),
        family="hypercomplex",
        description="tiny adapters after the feed-forward, and the norms",
        paper=PAPER,
        sites=PLUS_PLUS,
        learning_rate=RATE,
        native=False,
    )
)
