"""Prefix: n trained keys and values; what attention makes of them is in tests/tuner."""

from __future__ import annotations

import pytest
import torch

from autopeft.deltas.prefix import Prefix
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    randomised,
)

PLAIN = part_of("prefix", fan_out=8, changes="attention", settings={"tokens": 3})
WITH_MLP = part_of("prefix", fan_out=8, changes="attention", settings={"tokens": 3, "inner": 5})


def test_gives_its_keys_and_values() -> None:
    prefix = made_from(PLAIN, seed=1)
    keys, values = prefix()
    assert torch.equal(keys, prefix.keys) and torch.equal(values, prefix.values)
    assert keys.shape == values.shape == (3, 8)


def test_re_parametrisation_is_an_mlp_of_an_embedding() -> None:
    prefix = made_from(WITH_MLP, seed=1)
    inner = torch.tanh(prefix.embedding @ prefix.down.weight.T + prefix.down.bias)
    both = inner @ prefix.up.weight.T + prefix.up.bias
    keys, values = prefix()
    torch.testing.assert_close(keys, both[:, :8], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values, both[:, 8:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", [PLAIN, WITH_MLP])
def test_what_is_kept_does_the_same_without_re_parametrisation(part) -> None:
    prefix = made_from(part, seed=1)
    kept = Prefix(8, tokens=3)
    kept.load_state_dict(prefix.settled())
    assert all(torch.equal(one, other) for one, other in zip(kept(), prefix(), strict=True))
    assert not any(value.requires_grad for value in prefix.settled().values())


def test_starts_small() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        keys, values = Prefix(64, tokens=64)()
    for made in (keys, values):
        assert abs(made.mean().item()) < 1e-3
        assert abs(made.std().item() - 0.02) < 1e-3


@pytest.mark.parametrize("part", [PLAIN, WITH_MLP])
def test_size(part) -> None:
    assert_size_is_exact(part)


@pytest.mark.parametrize("part", [PLAIN, WITH_MLP])
def test_packs_equal_one_by_one(part) -> None:
    assert_packs_equal_one_by_one([made_from(part, seed=i) for i in range(3)])


def test_members_of_a_pack_differ() -> None:
    one, other = (randomised(made_from(PLAIN), seed) for seed in (0, 1))
    assert not close(one()[0], other()[0])
