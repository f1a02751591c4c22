"""Soft prompt: the same trained vectors for every input."""

from __future__ import annotations

import torch
from torch import nn

from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    state,
)

PART = part_of("soft_prompt", fan_in=6, fan_out=6, changes="prompt", settings={"tokens": 3})


def vocabulary(rows: int = 11, width: int = 6) -> nn.Embedding:
    return nn.Embedding(rows, width)


def test_starts_as_words_of_the_vocabulary() -> None:
    base = vocabulary()
    prompt = made_from(PART, base).prompt
    distances = torch.cdist(prompt, base.weight).amin(dim=1)
    assert distances.max() == 0
    with torch.no_grad():
        prompt.zero_()
    assert base.weight.any(), "the prompt and the vocabulary share storage"


def test_is_the_same_for_every_text() -> None:
    delta = made_from(PART, vocabulary())
    assert torch.equal(delta(state(6), None), delta.prompt)


def test_size() -> None:
    assert_size_is_exact(PART, vocabulary())


def test_packs_equal_one_by_one() -> None:
    members = [made_from(PART, vocabulary(), seed=i) for i in range(3)]
    assert_packs_equal_one_by_one(members, state(6), torch.ones(3, 5))
