"""DSEE: a low-rank update and a few single entries, over a feed-forward that may be cut.

With ``cut``, a share of the inner neurons of every feed-forward is out from the first step on, so
that the update makes up for them; the paper tunes, cuts, and tunes again. The merged model is built
without them: it is smaller and faster, and plain transformers. Heads stay, because no configuration
of transformers says how many each layer has; single weights too, as zeros among a dense update save
neither time nor room.
"""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of the update"),
    "alpha": Knob(default=16, low=1, high=128, log=True, help="numerator of the scale α/r"),
    "entries": Knob(
        default=16, low=1, high=256, log=True, help="single entries trained in each projection"
    ),
    "cut": Knob(
        default=0.0, low=0.0, high=0.9, help="share of inner feed-forward neurons taken out"
    ),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a low-rank and sparse update at every module of the placement, and the cuts."""
    settings = {name: value for name, value in knobs.items() if name != "cut"}
    parts = [
        part_at("lowrank_sparse", module, settings=settings)
        for module in modules_at(shape, placement)
    ]
    if knobs["cut"]:
        for module in modules_at(shape, Placement(sites=("ffn.out",))):
            share: Knobs = {"share": knobs["cut"]}
            width = module.fan_in
            parts.append(part_at("cut", module, fan_out=width, changes="input", settings=share))
    return parts


METHODS.register(
    MethodInfo(
        **made_of("dsee", recipe, KNOBS, Placement(sites=("attn.q", "attn.v"))),
        family="low-rank",
        description="a low-rank update and the single entries that low rank fits worst",
        paper="Chen et al. (2023), DSEE: Dually Sparsity-embedded Efficient Tuning of Pre-trained "
        "Language Models",
        sites=PROJECTIONS,
        learning_rate=LearningRatePrior(median=2e-3, spread=4.0, source="as LoRA"),
        native=False,
        mergeable=True,
    )
)
