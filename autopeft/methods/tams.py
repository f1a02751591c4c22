"""TAMS: a small cell of weighed operations beside each feed-forward."""

from __future__ import annotations

from dataclasses import replace

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.adapter import FFN, parallel
from autopeft.methods.recipe import Knobs, layers_of, made_of
from autopeft.methods.tarp import PAPER
from autopeft.records import BackboneShape, Placement

KNOBS = {"width": Knob(default=16, low=2, high=128, log=True, help="width of the cell's nodes")}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a cell beside the feed-forward of every layer; a decoder's looks back only."""
    places = [parallel(shape, i, "ffn.out", knobs) for i in layers_of(shape, placement)]
    return [
        replace(
            place,
            delta="searched_cell",
            settings={"width": knobs["width"], "causal": _causal(shape, place.module)},
            shares="choice",
        )
        for place in places
    ]


def _causal(shape: BackboneShape, module: str) -> bool:
    """Return whether a token at the module may not know of those after it."""
    return shape.kind == "decoder" or "decoder." in module


METHODS.register(
    MethodInfo(
        **made_of("tams", recipe, KNOBS, FFN),
        family="dynamic",
        description="small cells beside the feed-forward, whose operations are weighed in training",
        paper=PAPER,
        sites=FFN.sites,
        learning_rate=LearningRatePrior(
            median=1e-3, spread=4.0, source="as an adapter there; not measured yet"
        ),
        native=False,
    )
)
