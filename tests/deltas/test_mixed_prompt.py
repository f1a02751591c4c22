"""Mixed prompt: sources weighed for each input, against the equation written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from autopeft.deltas.mixed_prompt import MixedPrompt
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    state,
    trained,
)

TOKENS, WIDTH = 3, 6
SETTINGS = {"tokens": TOKENS, "count": 4, "inner": 5}
PART = part_of("mixed_prompt", fan_in=WIDTH, fan_out=WIDTH, changes="prompt", settings=SETTINGS)


def made(seed: int = 1, spread: float = 10.0) -> MixedPrompt:
    """Return a delta with random weights and random sources, far enough apart to be told."""
    delta = made_from(PART, nn.Embedding(11, WIDTH), seed=seed)
    delta.sources.copy_(spread * torch.randn(4, TOKENS, WIDTH, generator=torch.manual_seed(seed)))
    return delta


def test_is_the_equation_of_the_paper() -> None:
    delta, text = made(), state(WIDTH)
    for row, prompt in zip(text, delta(text, None), strict=True):
        pooled = torch.tensor([max(column) for column in row.T.tolist()])
        inner = delta.down.weight @ pooled
        asked = delta.up.weight @ (inner * torch.sigmoid(inner))
        spread = ((asked - asked.mean()) ** 2).mean() + 1e-5
        asked = (asked - asked.mean()) / spread.sqrt() * delta.norm.weight + delta.norm.bias
        scores = torch.stack([source.amax(dim=0) @ asked for source in delta.sources])
        shares = torch.exp(scores / (math.e * WIDTH))
        shares = shares / shares.sum()
        expected = delta.prompt + sum(
            share * source for share, source in zip(shares, delta.sources, strict=True)
        )
        torch.testing.assert_close(prompt, expected, rtol=1e-4, atol=1e-4)


def test_texts_get_weights_of_their_own() -> None:
    weights = made().weights(state(WIDTH), None)
    assert weights.shape == (3, 4)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert (weights[0] - weights[1]).abs().max() > 1e-2


def test_padding_is_not_read() -> None:
    delta, text = made(), state(WIDTH)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    expected = torch.stack([
        delta(row[None, : int(own.sum())], None)[0] for row, own in zip(text, mask, strict=True)
    ])  # fmt: skip
    assert close(delta(text, mask), expected)
    assert not close(delta(text, None), expected)


def test_sources_are_frozen_and_stored() -> None:
    delta = made()
    assert "sources" in delta.state_dict() and "sources" not in dict(delta.named_parameters())
    delta(state(WIDTH), None).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in (delta.prompt, delta.up.weight))


def test_sources_come_from_their_folder_by_name(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a", "d", "c")):
        prompt = torch.full((TOKENS, WIDTH), float(number))
        save_file({"prompt": prompt}, tmp_path / f"{name}.safetensors")
    settings = {**SETTINGS, "folder": str(tmp_path)}
    delta = MixedPrompt(torch.randn(11, WIDTH), **settings)
    assert delta.sources[:, 0, 0].tolist() == [1, 0, 3, 2]
    assert MixedPrompt.settled(settings) == SETTINGS
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no longer holds 4 prompts of shape \(3, 6\)"):
        MixedPrompt(torch.randn(11, WIDTH), **settings)


def test_size() -> None:
    assert_size_is_exact(PART, nn.Embedding(11, WIDTH))
    # prompt 3 · 6, down and up 2 · 5 · 6, norm 2 · 6
    assert trained(made()) == 90


def test_packs_equal_one_by_one() -> None:
    members = [made(seed, spread=0.5) for seed in range(3)]
    assert_packs_equal_one_by_one(members, state(WIDTH), torch.ones(3, 5))
