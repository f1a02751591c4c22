"""Soft templates: a cloze question around the text, and words that stand for the classes.

The template is written as text, with ``{mask}`` for the gap and ``{soft}`` for trained words:
``"{soft} It was {mask}."`` stands before the text, after the first token. The head, trained as
with every method, reads the state at the gap in the place of the first token's. With ``words``,
the pretrained head for masked words adds its scores of those words to the logits, so the first
step starts from what the model itself would write. That needs a checkpoint with such a head;
sentence encoders such as MiniLM come without, and for them the head alone reads the gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autopeft.deltas import Part
from autopeft.errors import ConfigError, IncompatibleMethodError
from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.prompt import LONGEST_PROMPT, no_room
from autopeft.methods.recipe import Knobs, made_of, part_at
from autopeft.records import BackboneShape, ModuleShape, Placement

START = 1
"""Tokens of an encoder's input before the template: the first, whose state the head reads."""

OUTPUT_NORMS = ("output_layer_norm", "post_mlp_layernorm")
"""What a norm is called that makes a layer's output from outside its feed-forward."""

SOFT, MASK = "{soft}", "{mask}"
KNOBS = {
    "tokens": Knob(default=20, low=1, high=40, log=True, help="trained words, where {soft} stands"),
    "template": Knob(default="{soft} {mask}", help="text before the input, with a {mask}"),
    "words": Knob(
        default="",
        help="words of each class in the order of the classes, such as bad/awful, good/great",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template in numbers of tokens.

    Args:
        before: tokens before the trained ones.
        soft: how many those are.
        after: tokens after them.
    """

    before: tuple[int, ...]
    soft: int
    after: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Its length."""
        return len(self.before) + self.soft + len(self.after)

    def place_of(self, token: int) -> int:
        """Return where a fixed token stands, counted from 0."""
        if token in self.before:
            return self.before.index(token)
        return len(self.before) + self.soft + self.after.index(token)


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return the template among the embeddings, the state at its gap, and a verbaliser if asked.

    Raises:
        IncompatibleMethodError: the backbone takes no template, or has no gap for one.
        ConfigError: the template or the words cannot be used.
    """
    del placement
    embedding, mask, last = _fit(shape)
    template = _template(shape, str(knobs["template"]), int(knobs["tokens"]), mask)
    at = START + template.place_of(mask)
    cloze = {
        "tokens": template.tokens,
        "soft": template.soft,
        "before": " ".join(map(str, template.before)),
        "after": " ".join(map(str, template.after)),
    }
    width = embedding.fan_out
    parts = [part_at("cloze", embedding, fan_in=width, changes="prompt", settings=cloze)]
    parts.append(part_at("at_mask", last, reads="output", settings={"at": at}))
    words = str(knobs["words"])
    if words:
        settings = {"at": at, **_verbaliser(shape, words)}
        parts.append(
            part_at("verbaliser", last, reads="output", changes="logits", settings=settings)
        )
    return parts


def excluded(shape: BackboneShape, longest: int) -> str | None:
    """Return why the method cannot run: no place for a template, or too few positions."""
    return _FIELDS["excluded"](shape, longest) or no_room(shape, longest)


def _fit(shape: BackboneShape) -> tuple[ModuleShape, int, ModuleShape]:
    """Return the embedding, the token of the gap, and the norm that makes the last states."""
    name = shape.architecture
    if shape.embedding is None or shape.kind != "encoder":
        raise IncompatibleMethodError(f"{name} is no encoder of texts, so it fills no gaps in them")
    if shape.mask_token is None:
        raise IncompatibleMethodError(f"the tokenizer of {name} has no token for a gap")
    last = _output_norm(shape)
    if last is None:
        raise IncompatibleMethodError(
            f"the last layer of {name} does not end with a norm, so there is no module that puts "
            "out the states which the head reads"
        )
    return shape.embedding, shape.mask_token, last


def _output_norm(shape: BackboneShape) -> ModuleShape | None:
    """Return the norm that makes the last layer's output, None if no norm of the layer does.

    It stands beside the projection that ends the feed-forward, or its name says so. Other norms
    come before the attention or the feed-forward, though they may be registered last.
    """
    last = [module for module in shape.modules if module.layer == shape.layers - 1]
    ends = {_parent(module) for module in last if module.site == "ffn.out"}
    norms = (module for module in reversed(last) if module.site == "norm")
    return next((m for m in norms if _parent(m) in ends or m.name.endswith(OUTPUT_NORMS)), None)


def _parent(module: ModuleShape) -> str:
    return module.name.rpartition(".")[0]


def _template(shape: BackboneShape, text: str, tokens: int, mask: int) -> Template:
    """Return a template in tokens.

    Raises:
        ConfigError: it has no gap, or more than one, or is too long.
    """
    if text.count(MASK) != 1 or text.count(SOFT) > 1:
        raise ConfigError(f"soft_template: {text!r} must hold {MASK} once and {SOFT} at most once")
    halves: list[list[int]] = [[]]
    for piece in re.split(r"(\{soft\}|\{mask\})", text):
        if piece == SOFT:
            halves.append([])
        elif piece == MASK:
            halves[-1].append(mask)
        elif piece.strip():
            halves[-1] += _tokens(shape, piece.strip())
    soft = tokens if len(halves) == 2 else 0
    made = Template(before=tuple(halves[0]), soft=soft, after=tuple(halves[-1] if soft else ()))
    if made.tokens > LONGEST_PROMPT:
        raise ConfigError(
            f"soft_template: the template has {made.tokens} tokens, at most {LONGEST_PROMPT} fit"
        )
    return made


def _verbaliser(shape: BackboneShape, words: str) -> Knobs:
    """Return the settings of a verbaliser, apart from the place of the gap.

    Raises:
        ConfigError: there is no head for masked words, a word is not one token, or there are words
            for another number of classes than the head has.
    """
    from autopeft.backbone.answer import answer_form

    answers = []
    for answer in words.split(","):
        numbers = [_tokens(shape, word.strip()) for word in answer.split("/")]
        for word, found in zip(answer.split("/"), numbers, strict=True):
            if len(found) != 1 or not word.strip():
                raise ConfigError(
                    f"soft_template: {word.strip()!r} is {len(found)} tokens of this model; give "
                    "words that are one"
                )
        answers.append(" ".join(str(number) for (number,) in numbers))
    if shape.labels and len(answers) != shape.labels:
        raise ConfigError(
            f"soft_template: words for {len(answers)} classes, but there are {shape.labels}: give "
            "some for each, in the order of the classes"
        )
    form = answer_form(shape.checkpoint)
    if form is None:
        raise ConfigError(
            f"soft_template: {shape.checkpoint} holds no head for masked words that could score "
            f"{words!r}; leave out words, and the trained head alone reads the gap"
        )
    return {
        "classes": len(answers),
        "inner": form.inner,
        "activation": form.activation,
        "eps": form.eps,
        "checkpoint": shape.checkpoint,
        "words": "/".join(answers),
    }


def _tokens(shape: BackboneShape, text: str) -> tuple[int, ...]:
    """Return the tokens of a text.

    Raises:
        ConfigError: the tokenizer is not known, or does not know a word.
    """
    from autopeft.backbone.answer import unknown_token, word_tokens

    if not shape.checkpoint:
        raise ConfigError(f"soft_template: {text!r} needs the tokenizer of a checkpoint")
    found = word_tokens(shape.checkpoint, text)
    if unknown_token(shape.checkpoint) in found:
        raise ConfigError(f"soft_template: the model does not know all words of {text!r}")
    return found


_FIELDS = made_of("soft_template", recipe, KNOBS)

METHODS.register(
    MethodInfo(
        **{**_FIELDS, "excluded": excluded},
        family="prompt",
        description="a cloze question with trained words before the text, read at its gap",
        paper="Wang et al. (2022), No More Fine-Tuning? An Experimental Evaluation of Prompt "
        "Tuning in Code Intelligence",
        sites=(),
        learning_rate=LearningRatePrior(
            median=5e-2,
            spread=5.0,
            source="MiniLM, 500 rows of subj, 3 epochs: rises from 1e-2 to 9e-2",
        ),
        native=False,
    )
)
