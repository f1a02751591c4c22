"""The head for masked words of a checkpoint, cut down to a few words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM

from autopeft.backbone.answer import answer_form, answer_head, unknown_token, word_tokens
from autopeft.backbone.quiet import quiet
from autopeft.errors import ModelError
from tests.tiny import masked_model

ENCODERS = ("bert", "roberta", "distilbert", "mpnet", "deberta-v2", "modernbert")
ANSWERS = ((5,), (6, 7))


@pytest.mark.parametrize("architecture", ENCODERS)
def test_scores_are_the_models_own(tmp_path: Path, architecture: str) -> None:
    folder = masked_model(architecture, tmp_path / "model")
    with quiet():
        whole = AutoModelForMaskedLM.from_pretrained(folder).eval()
    ids = torch.tensor([[2, 9, 4, 11, 3]])
    with torch.no_grad():
        made = whole(input_ids=ids, output_hidden_states=True)
    found = answer_head(str(folder), ANSWERS)
    assert answer_form(str(folder)) == found.form
    own = torch.stack([made.logits[..., 5], made.logits[..., [6, 7]].mean(dim=-1)], dim=-1)
    torch.testing.assert_close(found.score(made.hidden_states[-1]), own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_checkpoint_without_such_a_head_has_no_form(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    assert answer_form(str(tiny_folder(architecture))) is None


def test_a_head_that_is_not_there_is_not_drawn_at_random(
    tiny_folder: Callable[[str], Path],
) -> None:
    with pytest.raises(ModelError, match="holds no head for masked words"):
        answer_head(str(tiny_folder("bert")), ANSWERS)


def test_words_are_tokens_without_the_marks_of_a_sentence(
    tiny_folder: Callable[[str], Path],
) -> None:
    folder = str(tiny_folder("bert"))
    assert word_tokens(folder, "good bad") == (5, 6)
    assert word_tokens(folder, "unheard") == (unknown_token(folder),)
