"""Soft prompts before the input's embeddings: prompt tuning and P-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import PromptEncoderConfig, PromptTuningConfig

LONGEST_PROMPT = 50
TOKENS = Knob(default=20, low=1, high=LONGEST_PROMPT, log=True, help="virtual tokens")
HIDDEN = Knob(default=128, choices=(64, 128, 256), help="width of the prompt encoder")


def excluded(shape: BackboneShape, longest: int) -> str | None:
    """Return why prompts do not work on a backbone: its inputs, head, or too few positions."""
    if shape.vocabulary == 0:
        return f"{shape.architecture} reads images, and peft puts prompts before texts only"
    if shape.embedding is None:
        return f"{shape.architecture} has no word embedding beside whose vectors a prompt stands"
    if shape.kind == "encoder-decoder":
        return f"the classifier of {shape.architecture} takes no embeddings, which prompts need"
    if shape.kind != "encoder":
        return (
            f"with prompts, {shape.architecture}'s classifier cannot tell padding from text and "
            "reads the last position, which is padding in all but the longest text of a batch"
        )
    return no_room(shape, longest)


def no_room(shape: BackboneShape, longest: int) -> str | None:
    """Return why the longest prompt does not fit beside the longest text, or None if it does."""
    if shape.positions is not None and longest + LONGEST_PROMPT > shape.positions:
        return (
            f"up to {LONGEST_PROMPT} virtual tokens and {longest} of text exceed the "
            f"{shape.positions} positions of {shape.architecture}"
        )
    return None


def model_settings(shape: BackboneShape, heads: tuple[str, ...]) -> dict[str, Any]:
    """Return what a prompt config says of the model; peft would guess it from names.

    Heads are named from the outside, as a bare ``head`` would also match the prompt encoder's
    ``mlp_head``.
    """
    return {
        "token_dim": _width(shape),
        "num_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "modules_to_save": [f"base_model.{head}" for head in heads],
    }


def _width(shape: BackboneShape) -> int:
    """Return the width of the word embedding, which a prompt has too."""
    assert shape.embedding is not None
    return shape.embedding.fan_out


def _count_prompt(
    shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]
) -> int:
    """Return ``tokens · width``."""
    del placement
    return int(knobs["tokens"]) * _width(shape)


def _count_encoder(
    shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]
) -> int:
    """Return the prompt plus the three layers d → w → w → d of its encoder, biases included.

    The encoder is dropped once trained: the artifact stores ``tokens · d``.
    """
    width, outer = int(knobs["hidden"]), _width(shape)
    encoder = (outer + 1) * width + (width + 1) * width + (width + 1) * outer
    return _count_prompt(shape, placement, knobs) + encoder


def _prompt_config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> PromptTuningConfig:
    """Return a config that starts from embeddings of random words, as the paper advises."""
    from peft import PromptTuningConfig, PromptTuningInit

    del total_steps
    return PromptTuningConfig(
        num_virtual_tokens=int(candidate.knobs["tokens"]),
        prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        **model_settings(shape, heads),
    )


def _encoder_config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> PromptEncoderConfig:
    from peft import PromptEncoderConfig

    del total_steps
    return PromptEncoderConfig(
        num_virtual_tokens=int(candidate.knobs["tokens"]),
        encoder_hidden_size=int(candidate.knobs["hidden"]),
        **model_settings(shape, heads),
    )


METHODS.register(
    MethodInfo(
        name="prompt_tuning",
        family="prompt",
        description="trains virtual tokens before the text",
        paper="Lester et al. (2021), The Power of Scale for Parameter-Efficient Prompt Tuning",
        knobs={"tokens": TOKENS},
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=3e-2, spread=5.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 3e-1)"
        ),
        count=_count_prompt,
        config=_prompt_config,
        excluded=excluded,
    )
)
METHODS.register(
    MethodInfo(
        name="p_tuning",
        family="prompt",
        description="trains virtual tokens through a small encoder",
        paper="Liu et al. (2021), GPT Understands, Too",
        knobs={"tokens": TOKENS, "hidden": HIDDEN},
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=1.5e-2,
            spread=5.0,
            source="MiniLM, 1,000 rows of subj and of tweet_emotion, 5 epochs",
        ),
        count=_count_encoder,
        config=_encoder_config,
        excluded=excluded,
    )
)
