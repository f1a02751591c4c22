"""Bottleneck: Δh = s·W_up·f(W_down·h)."""

from __future__ import annotations

import math

import pytest
import torch

from autopeft.deltas.bottleneck import Bottleneck
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    randomised,
    state,
)

ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_equation(activation: str, scale: float) -> None:
    delta = randomised(Bottleneck(6, 4, width=3, scale=scale, activation=activation), 1)
    h = state(6)
    inner = ACTIVATIONS[activation](torch.einsum("wi,bsi->bsw", delta.down, h) + delta.down_bias)
    expected = scale * (torch.einsum("ow,bsw->bso", delta.up, inner) + delta.up_bias)
    torch.testing.assert_close(delta(h), expected, rtol=1e-4, atol=1e-5)


def test_starts_at_zero_with_a_w_down_that_can_learn() -> None:
    delta = made_from(part_of("bottleneck", settings={"width": 3}))
    assert not delta(state(6)).any()
    assert 0 < delta.down.abs().max() <= 1 / math.sqrt(6)  # Kaiming-uniform(√5): ±1/√fan_in


def test_size() -> None:
    assert_size_is_exact(part_of("bottleneck", settings={"width": 3}))


def test_packs_equal_one_by_one() -> None:
    part = part_of("bottleneck", settings={"width": 3, "activation": "gelu", "scale": 2.0})
    assert_packs_equal_one_by_one([made_from(part, seed=i) for i in range(3)], state(6))


def test_cannot_be_folded() -> None:
    delta = made_from(part_of("bottleneck", settings={"width": 3}))
    with pytest.raises(NotImplementedError, match="bottleneck is no linear map"):
        delta.folded(torch.zeros(4, 6), None)
