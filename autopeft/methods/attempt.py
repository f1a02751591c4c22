"""ATTEMPT: a soft prompt plus frozen prompts of other tasks, mixed for each input."""

from __future__ import annotations

from pathlib import Path

from autopeft.deltas import Part
from autopeft.deltas.source import source_files, source_shape
from autopeft.errors import ConfigError, IncompatibleMethodError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.prompt import TOKENS, no_room
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, ModuleShape, Placement

INNER = 100  # width of the attention, as in the paper
KNOBS = {
    "tokens": TOKENS,
    "sources": Knob(
        default="",
        help="folder of source prompts, as long as `tokens`; none makes a plain prompt",
    ),
}


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return a prompt among the embeddings, mixed with the sources if there are any.

    Raises:
        IncompatibleMethodError: the backbone takes no prompt.
        ConfigError: the folder of sources cannot be used.
    """
    del placement
    if shape.embedding is None or shape.kind == "encoder-decoder":
        raise IncompatibleMethodError(
            f"{shape.architecture} does not read one text through one embedding, so there is no "
            "place for a prompt"
        )
    tokens, folder = int(knobs["tokens"]), str(knobs.get("sources", ""))
    if not folder:
        return [_part("soft_prompt", shape.embedding, {"tokens": tokens})]
    count = _count(Path(folder), tokens, shape.embedding.fan_out)
    settings: Knobs = {"tokens": tokens, "count": count, "inner": INNER, "folder": folder}
    return [_part("mixed_prompt", shape.embedding, settings)]


def excluded(shape: BackboneShape, longest: int) -> str | None:
    """Return why the method cannot run: no place for a prompt, or too few positions."""
    return _FIELDS["excluded"](shape, longest) or no_room(shape, longest)


def _part(delta: str, embedding: ModuleShape, settings: Knobs) -> Part:
    return part_at(delta, embedding, fan_in=embedding.fan_out, changes="prompt", settings=settings)


def _count(folder: Path, tokens: int, width: int) -> int:
    """Return how many source prompts a folder holds, all of this length and width."""
    try:
        shapes = {file.name: source_shape(file) for file in source_files(folder)}
    except ValueError as error:
        raise ConfigError(f"attempt: {error}") from error
    if not shapes:
        raise ConfigError(
            f"attempt: {folder} holds no source prompts; name the folder of one model, which "
            "autopeft sources list shows"
        )
    for name, (length, wide) in shapes.items():
        if wide != width:
            raise ConfigError(
                f"attempt: {name} in {folder} is of another model: its width is {wide}, that of "
                f"this one's embeddings {width}"
            )
        if length != tokens:
            raise ConfigError(
                f"attempt: {name} in {folder} has {length} tokens; give the method as many, "
                f"tokens: {length}, not {tokens}"
            )
    return len(shapes)


_FIELDS = made_of("attempt", recipe, KNOBS)

METHODS.register(
    MethodInfo(
        **{**_FIELDS, "excluded": excluded},
        family="prompt",
        description="virtual tokens inside the text, and source prompts mixed into them",
        paper="Asai et al. (2022), ATTEMPT: Parameter-Efficient Multi-task Tuning via Attentional "
        "Mixtures of Soft Prompts",
        sites=(),
        learning_rate=LearningRatePrior(
            median=3e-2, spread=5.0, source="as prompt_tuning (paper: 3e-1, on T5)"
        ),
        native=False,
    )
)
