"""Cloze and verbaliser: words around a gap, the state at it, and the scores of its answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autopeft.deltas.size import size
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    randomised,
    state,
    trained,
)

WIDTH, AT, EPS = 6, 2, 1e-5
SETTINGS = {"tokens": 6, "soft": 3, "before": "4", "after": "7 2"}
CLOZE = part_of("cloze", fan_in=WIDTH, fan_out=WIDTH, changes="prompt", settings=SETTINGS)
AT_MASK = part_of("at_mask", fan_in=WIDTH, fan_out=WIDTH, reads="output", settings={"at": AT})
FORM = {"at": AT, "classes": 3, "inner": 5, "activation": "gelu", "eps": EPS}
VERBALISER = part_of(
    "verbaliser", fan_in=WIDTH, fan_out=WIDTH, reads="output", changes="logits", settings=FORM
)


@pytest.fixture
def vocabulary() -> nn.Embedding:
    return nn.Embedding(11, WIDTH)


def test_words_stand_around_what_trains(vocabulary: nn.Embedding) -> None:
    delta = made_from(CLOZE, vocabulary, seed=1)
    made = delta(state(WIDTH), None)
    assert torch.equal(made[[0, 4, 5]], vocabulary.weight[[4, 7, 2]])
    assert torch.equal(made[1:4], delta.prompt)


def test_words_stay_as_they_were_when_the_vocabulary_changes(vocabulary: nn.Embedding) -> None:
    delta = made_from(CLOZE, vocabulary)
    before = delta(state(WIDTH), None)
    with torch.no_grad():
        vocabulary.weight.zero_()
    assert torch.equal(delta(state(WIDTH), None), before)


def test_sizes(vocabulary: nn.Embedding) -> None:
    assert_size_is_exact(CLOZE, vocabulary)
    for part in (AT_MASK, VERBALISER):
        assert size([part]) == trained(made_from(part)) == 0


def test_the_state_at_the_gap_takes_the_first_place() -> None:
    h = state(WIDTH)
    moved = h + made_from(AT_MASK)(h)
    assert close(moved[:, 0], h[:, AT])
    assert torch.equal(moved[:, 1:], h[:, 1:])


def test_verbaliser_is_projection_activation_norm_and_words() -> None:
    delta, h = made_from(VERBALISER), state(WIDTH)
    draw = torch.Generator().manual_seed(3)
    for buffer in delta.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=draw))
    inner = h[:, AT] @ delta.dense.T + delta.dense_bias
    inner = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    centred = inner - inner.mean(dim=-1, keepdim=True)
    normed = centred / (centred.square().mean(dim=-1, keepdim=True) + EPS).sqrt()
    scores = (normed * delta.norm + delta.norm_bias) @ delta.answers.T + delta.answers_bias
    torch.testing.assert_close(delta(h), scores, rtol=1e-5, atol=1e-5)


def test_packs_equal_one_by_one(vocabulary: nn.Embedding) -> None:
    members = [randomised(made_from(CLOZE, vocabulary), seed) for seed in range(3)]
    assert_packs_equal_one_by_one(members, state(WIDTH), torch.ones(3, 5))
