"""A soft prompt in the input: where it stands, what the model sees of it, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.share import share
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.testing.toy import make_toy
from autopeft.tuner.prompt import Room, widened
from tests.tiny import DECODERS

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
TEXT = (
    "bert", "roberta", "distilbert", "mpnet", "deberta-v2", "modernbert", "gpt2", "llama"
)  # fmt: skip
TOKENS = 3
PROMPT = Candidate(method="attempt", learning_rate=1e-2, epochs=1, knobs={"tokens": TOKENS})


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **HEAD)


def prompt_of(model: Any) -> torch.Tensor:
    (found,) = [p for name, p in model.named_parameters() if name.endswith(".prompt")]
    return found


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def test_a_sequence_gets_room_and_loses_it_again() -> None:
    room, ids = Room(start=1, tokens=2), torch.tensor([[5, 6, 7], [8, 9, 0]])
    wider = room.widen(ids, 4)
    assert wider.tolist() == [[5, 4, 4, 6, 7], [8, 4, 4, 9, 0]]
    assert torch.equal(room.narrow(wider), ids)


def test_the_prompt_stands_in_its_room_alone() -> None:
    room, vectors, prompt = Room(start=1, tokens=2), torch.randn(2, 5, 4), torch.randn(2, 4)
    filled = room.fill(vectors, prompt)
    assert torch.equal(filled[:, 1:3], prompt.expand(2, -1, -1))
    assert torch.equal(room.narrow(filled), room.narrow(vectors))


@pytest.mark.parametrize("pad", [None, 0, 1, 50256])
def test_room_is_not_taken_for_padding(pad: int | None) -> None:
    inputs = {
        "input_ids": torch.tensor([[7, 8]]),
        "attention_mask": torch.tensor([[1, 0]]),
        "token_type_ids": torch.tensor([[1, 1]]),
        "output_attentions": False,
    }
    wider = widened(inputs, Room(start=1, tokens=1), pad)
    assert wider["input_ids"][0, 1] != pad
    assert wider["attention_mask"].tolist() == [[1, 1, 0]]
    assert wider["token_type_ids"].tolist() == [[1, 0, 1]]
    assert wider["output_attentions"] is False


@pytest.mark.parametrize("architecture", TEXT)
def test_a_prompt_of_words_is_as_good_as_the_words(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    """The model sees what it would see if the words were in the text at that place."""
    backbone = load_backbone(tiny_folder(architecture), **HEAD)
    model = adapt(backbone, PROMPT, seed=0)
    words = torch.tensor([10, 11, 12])
    plain = share(backbone.model)
    for head in backbone.heads:
        plain.get_submodule(head).load_state_dict(
            model.get_submodule(f"base_model.model.{head}.modules_to_save.default").state_dict()
        )
    with torch.no_grad():
        prompt_of(model).copy_(plain.get_input_embeddings().weight[words])
    inputs = make_toy(backbone.tokenizer).inputs
    start = 0 if architecture in DECODERS else 1
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    said = words.expand(len(ids), -1)
    written = {
        "input_ids": torch.cat([ids[:, :start], said, ids[:, start:]], dim=1),
        "attention_mask": torch.cat([torch.ones_like(said), mask], dim=1),
    }
    torch.testing.assert_close(logits(model, inputs), logits(plain, written), rtol=0, atol=1e-5)


def test_without_the_adapter_the_input_is_as_it_was(bert: Backbone) -> None:
    model, inputs = adapt(bert, PROMPT, seed=0), make_toy(bert.tokenizer).inputs
    before = logits(model, inputs)
    with torch.no_grad():
        prompt_of(model).add_(5.0)
    assert not torch.allclose(logits(model, inputs), before)
    with model.disable_adapter():
        off = logits(model, inputs)
        prompt_of(model).data.add_(5.0)
        assert torch.equal(logits(model, inputs), off)


def test_a_pass_without_mask_counts_every_token(bert: Backbone) -> None:
    model = adapt(bert, PROMPT, seed=0)
    ids = make_toy(bert.tokenizer).inputs["input_ids"][:1, :5]
    one = logits(model, {"input_ids": ids})
    other = logits(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"inputs_embeds": torch.zeros(1, 4, 32)}, "takes input_ids"),
        (
            {"input_ids": torch.ones(1, 4, dtype=torch.long), "position_ids": torch.arange(4)},
            "takes no position_ids",
        ),
    ],
)
def test_what_would_no_longer_fit_is_refused(
    bert: Backbone, inputs: dict[str, torch.Tensor], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        adapt(bert, PROMPT, seed=0)(**inputs)


def test_a_pass_around_the_adapter_is_refused(bert: Backbone) -> None:
    model, inputs = adapt(bert, PROMPT, seed=0), make_toy(bert.tokenizer).inputs
    with pytest.raises(RuntimeError, match="not around it"):
        model.base_model.model.bert(**inputs)


def test_a_prompt_cannot_be_merged(bert: Backbone) -> None:
    with pytest.raises(ValueError, match=r"soft_prompt at .* cannot be merged"):
        adapt(bert, PROMPT, seed=0).merge_and_unload()
