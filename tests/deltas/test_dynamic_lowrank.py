"""The dynamic low-rank change against its equation, token by token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autopeft.deltas.dynamic_lowrank import DynamicLowRank, softplus_less_one
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    randomised,
    state,
)

PART = part_of("dynamic_lowrank", settings={"r": 3})
WEIGHT = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))


def made(seed: int) -> DynamicLowRank:
    delta = made_from(PART, seed=seed)
    assert isinstance(delta, DynamicLowRank)
    return delta


def adapted_weight(delta: DynamicLowRank, x: Tensor) -> Tensor:
    """Return W(x) = Φ₁ ⊙ W₀ + U Σ(x) Vᵀ for one token."""
    offset = math.log(math.e - 1)
    first = nn.functional.softplus(delta.scale_u @ delta.scale_v + offset)
    sigma = (delta.sigma.weight @ x + delta.sigma.bias).view(3, 3)
    return first * WEIGHT + delta.u @ sigma @ delta.v


def test_change_follows_the_equation() -> None:
    delta, x = made(0), state(6)
    expected = torch.stack([adapted_weight(delta, t) @ t for t in x.flatten(0, 1)])
    changed = (x @ WEIGHT.T + delta(x, weight=WEIGHT)).flatten(0, 1)
    assert torch.allclose(changed, expected, atol=1e-4)


def test_a_fresh_one_changes_nothing_and_learns() -> None:
    delta = made_from(PART)
    change = delta(state(6), weight=WEIGHT)
    assert not change.any()
    change.sum().backward()
    learning = {name for name, p in delta.named_parameters() if p.grad is not None and p.grad.any()}
    assert learning == {"v", "scale_v"}


def test_the_scale_is_softplus_and_exact_at_the_start() -> None:
    z = torch.linspace(-20, 20, 401, dtype=torch.float64)
    plain = nn.functional.softplus(z + math.log(math.e - 1), threshold=50) - 1
    assert torch.allclose(softplus_less_one(z), plain, atol=1e-9)
    assert not softplus_less_one(torch.zeros(7)).any()


def test_size_is_exact() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    members = [randomised(made(seed).double(), seed) for seed in range(3)]
    assert_packs_equal_one_by_one(members, state(6).double(), weight=WEIGHT.double())
