"""Partial fine-tuning: the weights of chosen modules, and nothing else.

The placement says which: its sites name the parts (attention, feed-forward, norms), its rule of
layers the depth, as in the top two. Of an encoder-decoder the encoder's layers come first, so
``bottom:K`` is the encoder. What no site names is asked for by a knob: the embeddings, and a
decoder's attention over the encoder.

Extra position embeddings, added to the frozen ones, are the position embeddings trained from where
they are: a sum of both is one table. Of an encoder-decoder, the encoder's train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo, modules_at, needs_sites
from autopeft.methods.lora import PROJECTIONS
from autopeft.records import BackboneShape, Candidate, ModuleShape, Placement, Scalar

if TYPE_CHECKING:
    from peft import LoraConfig

ATTENTION = ("attn.q", "attn.k", "attn.v", "attn.out")
SITES = (*PROJECTIONS, "norm")
TABLES = ("words", "positions", "both")
KNOBS = {
    "embeddings": Knob(
        default="none", choices=("none", *TABLES), help="embeddings that train besides"
    ),
    "cross": Knob(
        default=False, choices=(False, True), help="whether attention over the encoder trains too"
    ),
}
EMBEDDINGS = {"embeddings": Knob(default="words", choices=TABLES, help="which of them train")}


def _size(module: ModuleShape) -> int:
    weight = module.fan_out if module.site == "norm" else module.fan_in * module.fan_out
    return weight + module.bias


def _tables(shape: BackboneShape, which: str) -> tuple[ModuleShape, ...]:
    """Return the embeddings of a choice.

    Raises:
        IncompatibleMethodError: the backbone has no such table, or shares it between its sides.
    """
    found: list[ModuleShape] = []
    if which in ("words", "both"):
        if shape.embedding is None or shape.kind == "encoder-decoder":
            raise IncompatibleMethodError(
                f"{shape.architecture} has no word embedding of one side alone that could train"
            )
        found.append(shape.embedding)
    if which in ("positions", "both"):
        if shape.positions_table is None:
            raise IncompatibleMethodError(f"{shape.architecture} has no table of positions")
        found.append(shape.positions_table)
    return tuple(found)


def _trained(
    shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]
) -> tuple[ModuleShape, ...]:
    """Return every module that trains.

    Raises:
        IncompatibleMethodError: the backbone lacks one that is asked for.
    """
    if knobs.get("cross") and not shape.cross:
        raise IncompatibleMethodError(f"{shape.architecture} has no attention over an encoder")
    named = modules_at(shape, placement) if placement is not None else ()
    cross = shape.cross if knobs.get("cross") else ()
    return (*named, *cross, *_tables(shape, str(knobs.get("embeddings", "none"))))


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``fan_in·fan_out`` of each matrix and the width of each norm, with the biases."""
    return sum(_size(module) for module in _trained(shape, placement, knobs))


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> LoraConfig:
    """Return a LoRA config that adapts no module but trains copies of some, beside the head.

    The copies are peft's own, so the shared backbone stays as it is, and the artifact holds the
    trained modules alone.
    """
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    del total_steps
    trained = [m.name for m in _trained(shape, candidate.placement, candidate.knobs)]
    return LoraConfig(r=1, target_modules=DUMMY_TARGET_MODULES, modules_to_save=[*trained, *heads])


def _embeddings_excluded(shape: BackboneShape, longest: int) -> str | None:
    del longest
    try:
        _tables(shape, "words")
    except IncompatibleMethodError as error:
        return str(error)
    return None


METHODS.register(
    MethodInfo(
        name="partial",
        family="full",
        description="trains the weights of chosen modules: parts of the layers, or the top layers",
        paper="Cooper Stickland et al. (2021), Recipes for Adapting Pre-trained Monolingual and "
        "Multilingual Models to Machine Translation",
        knobs=KNOBS,
        placement=Placement(sites=ATTENTION),
        sites=SITES,
        learning_rate=LearningRatePrior(
            median=3e-4,
            spread=4.0,
            source="MiniLM, 1,000 rows of subj and of tweet_emotion, 5 epochs",
        ),
        count=_count,
        config=_config,
        excluded=needs_sites(*SITES),
        trains_base="those of its placement",
        mergeable=True,
    )
)
METHODS.register(
    MethodInfo(
        name="embeddings",
        family="full",
        description="trains the embeddings of words, of positions, or both",
        paper="Cooper Stickland et al. (2021), Recipes for Adapting Pre-trained Monolingual and "
        "Multilingual Models to Machine Translation",
        knobs=EMBEDDINGS,
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=3e-3,
            spread=5.0,
            source="MiniLM, 1,000 rows of subj and of tweet_emotion, 5 epochs",
        ),
        count=_count,
        config=_config,
        excluded=_embeddings_excluded,
        trains_base="embeddings",
        mergeable=True,
    )
)
