"""What a masked-language model would write in a gap: its own head, cut down to a few words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autopeft.backbone import checkpoint
from autopeft.backbone.head import in_head
from autopeft.backbone.load import find_folder
from autopeft.backbone.quiet import explained, quiet
from autopeft.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

CLOSE = 1e-4
_ACTIVATIONS = ("hidden_act", "activation", "classifier_activation")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """What a head is like.

    Args:
        inner: its width.
        activation: transformers' name of it.
        eps: of the norm.
    """

    inner: int
    activation: str
    eps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerHead:
    """score(h) = W norm(f(D h + d)) + b, where W and b are those of a few answers.

    Args:
        dense: D (inner, hidden) and d (inner,).
        norm: gain and offset of the norm, (inner,) each.
        answers: W (answers, inner) and b (answers,).
        form: f, and the norm's.
    """

    dense: tuple[Tensor, Tensor]
    norm: tuple[Tensor, Tensor]
    answers: tuple[Tensor, Tensor]
    form: AnswerForm

    def score(self, states: Tensor) -> Tensor:
        """Return the scores (…, answers) of states (…, hidden)."""
        from torch.nn import functional
        from transformers.activations import ACT2FN

        inner = ACT2FN[self.form.activation](functional.linear(states, *self.dense))
        normed = functional.layer_norm(inner, inner.shape[-1:], *self.norm, self.form.eps)
        return functional.linear(normed, *self.answers)


def word_tokens(model: str, text: str) -> tuple[int, ...]:
    """Return the numbers of the tokens of a piece of text inside a sentence.

    Args:
        model: folder or hub name of the tokenizer.
        text: of one or more words.
    """
    tokens: list[int] = _tokenizer(model).encode(f" {text}", add_special_tokens=False)
    return tuple(tokens)


def unknown_token(model: str) -> int | None:
    """Return the number of the token that stands for words out of the vocabulary."""
    found: int | None = _tokenizer(model).unk_token_id
    return found


@functools.cache
def answer_form(model: str) -> AnswerForm | None:
    """Return the form of a checkpoint's head for masked words, None if it stores none.

    No weights are read. Pickled ones have no names to look at, so they count as whole.
    """
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    with quiet(), explained(model), torch.device("meta"):
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        try:
            empty = AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
        except ValueError:  # no such head for this architecture
            return None
    stored = checkpoint.weight_shapes(find_folder(model))
    wanted = {n: tuple(p.shape) for n, p in empty.named_parameters() if _outside(n, empty)}
    if stored is not None and checkpoint.lacking(wanted, checkpoint.as_loaded(stored, empty), ""):
        return None
    found = _modules(empty)
    return None if found is None else found[-1]


@functools.lru_cache(maxsize=8)
def answer_head(model: str, answers: tuple[tuple[int, ...], ...]) -> AnswerHead:
    """Return a checkpoint's own head for masked words, cut down to some answers.

    An answer of several tokens scores their mean.

    Args:
        model: folder or hub name.
        answers: the tokens of each.

    Raises:
        ModelError: the checkpoint has no such head, or one of another form.
    """
    import torch
    from transformers import AutoModelForMaskedLM

    with quiet(), explained(model):
        whole, report = AutoModelForMaskedLM.from_pretrained(
            model, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    if any(_outside(name, whole) for name in report["missing_keys"]):
        raise ModelError(f"{model} holds no head for masked words")
    whole.eval().requires_grad_(False)
    found = _cut(whole, answers)
    if found is None or not _same(whole, found, answers):
        raise ModelError(
            f"the head for masked words of {model} is not a projection, an activation, a norm and "
            "a row per word, so it cannot be cut down to some words"
        )
    return found


@functools.lru_cache(maxsize=8)
def _tokenizer(model: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    with quiet(), explained(model):
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False)


def _outside(name: str, model: Any) -> bool:
    return not in_head(name, (model.base_model_prefix,))


def _modules(whole: Any) -> tuple[nn.Linear, nn.LayerNorm, nn.Linear, AnswerForm] | None:
    """Return the projection, the norm and the words of a head, None if it has other parts."""
    from torch import nn

    last = whole.get_output_embeddings()
    heads = [m for name, m in whole.named_modules() if _outside(name, whole) and m is not last]
    projections = [m for m in heads if isinstance(m, nn.Linear)]
    norms = [m for m in heads if isinstance(m, nn.LayerNorm)]
    named = [name for key in _ACTIVATIONS if (name := getattr(whole.config, key, None))]
    if not isinstance(last, nn.Linear) or (len(projections), len(norms)) != (1, 1) or not named:
        return None
    form = AnswerForm(inner=projections[0].out_features, activation=named[0], eps=norms[0].eps)
    return projections[0], norms[0], last, form


def _cut(whole: Any, answers: Sequence[Sequence[int]]) -> AnswerHead | None:
    """Return the head of a model for some answers alone, None if it has another form."""
    import torch

    found = _modules(whole)
    if found is None:
        return None
    projection, norm, last, form = found
    weight, bias = _with_bias(last)
    chosen = [list(tokens) for tokens in answers]
    return AnswerHead(
        dense=_with_bias(projection),
        norm=_with_bias(norm),
        answers=(
            torch.stack([weight[tokens].mean(dim=0) for tokens in chosen]),
            torch.stack([bias[tokens].mean() for tokens in chosen]),
        ),
        form=form,
    )


def _with_bias(module: nn.Linear | nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Return copies of a module's weight and bias, which is 0 where it has none."""
    weight: Tensor = module.weight
    bias: Tensor | None = module.bias
    return weight.clone(), weight.new_zeros(len(weight)) if bias is None else bias.clone()


def _same(whole: Any, found: AnswerHead, answers: Sequence[Sequence[int]]) -> bool:
    """Return whether the head, cut down, scores a few tokens as the model does."""
    import torch

    ids = torch.arange(5, 13)[None] % whole.config.vocab_size
    with torch.no_grad():
        made = whole(input_ids=ids, output_hidden_states=True)
        scores = found.score(made.hidden_states[-1])
    own = torch.stack([made.logits[..., list(tokens)].mean(dim=-1) for tokens in answers], dim=-1)
    apart: float = (scores - own).abs().max().item()
    return apart <= CLOSE * max(1.0, own.abs().max().item())
