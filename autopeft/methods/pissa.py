"""PiSSA and OLoRA: LoRA that begins with a piece of the weights themselves.

What is delivered is a plain LoRA of twice the rank for the untouched backbone, whose update is what
training added, s·(B·A − B₀·A₀).
"""

from __future__ import annotations

from collections.abc import Mapping

from autopeft.deltas import Part
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at
from autopeft.methods.lora import PROJECTIONS
from autopeft.methods.recipe import Knobs, Recipe, made_of, part_at
from autopeft.records import BackboneShape, Placement

KNOBS: Mapping[str, Knob] = {
    "r": Knob(default=8, low=1, high=64, log=True, help="rank of what is taken out and trained"),
    "alpha": Knob(default=8, low=1, high=128, log=True, help="numerator of the scale α/r"),
}
"""No dropout: it would drop a part of the pretrained weights themselves."""

DEFAULT = Placement(sites=("attn.q", "attn.v"))
RATE = LearningRatePrior(
    median=1.5e-3,
    spread=4.0,
    source="MiniLM, 1,000 rows of subj, tweet_emotion and clinc150_small, 5 epochs",
)


def _recipe(begins: str) -> Recipe:
    def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
        """Return an update at every module, of at most the rank that the narrowest has."""
        modules = modules_at(shape, placement)
        r = min(int(knobs["r"]), *(min(m.fan_in, m.fan_out) for m in modules))
        settings = {"r": r, "alpha": knobs["alpha"], "begins": begins}
        return [part_at("low_rank_within", module, settings=settings) for module in modules]

    return recipe


METHODS.register(
    MethodInfo(
        **made_of("pissa", _recipe("principal"), KNOBS, DEFAULT),
        family="low-rank",
        description="LoRA that starts from the principal singular values of each weight",
        paper="Meng et al. (2024), PiSSA: Principal Singular Values and Singular Vectors "
        "Adaptation of Large Language Models",
        sites=PROJECTIONS,
        learning_rate=RATE,
        mergeable=True,
    )
)

METHODS.register(
    MethodInfo(
        **made_of("olora", _recipe("orthonormal"), KNOBS, DEFAULT),
        family="low-rank",
        description="LoRA that starts from orthonormal columns, by a QR decomposition",
        paper="Büyükakyüz (2024), OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models",
        sites=PROJECTIONS,
        learning_rate=RATE,
        mergeable=True,
    )
)
