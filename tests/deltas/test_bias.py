"""Bias: Δh = b."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    state,
)

PART = part_of("bias")


def test_adds_b_to_every_token_whatever_is_there() -> None:
    delta, h = made_from(PART, seed=1), state(4)
    changed = h + delta(state(6))
    for batch, token in torch.cartesian_prod(torch.arange(3), torch.arange(5)):
        assert torch.equal(changed[batch, token], h[batch, token] + delta.offset)


def test_starts_at_zero() -> None:
    assert not made_from(PART)(state(6)).any()


def test_size() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    assert_packs_equal_one_by_one([made_from(PART, seed=i) for i in range(3)], state(6))


@pytest.mark.parametrize("bias", [True, False])
def test_folds_into_a_projection(bias: bool) -> None:
    base, x, delta = nn.Linear(6, 4, bias=bias), state(6), made_from(PART, seed=1)
    folded = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, base(x) + delta(x), rtol=1e-5, atol=1e-6)
