"""The dynamic low-rank change against its equation, token by token."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from autopeft.deltas import dynamic_lowrank
from autopeft.deltas.dynamic_lowrank import DynamicLowRank, exp_softplus_less_one
from benchmarks.speed.rescaling import Plain
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
    assert torch.allclose(exp_softplus_less_one(z).log(), plain, atol=1e-9)
    assert not exp_softplus_less_one(torch.zeros(7)).log().any()


def test_size_is_exact() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    members = [randomised(made(seed).double(), seed) for seed in range(3)]
    assert_packs_equal_one_by_one(members, state(6).double(), weight=WEIGHT.double())


def test_its_own_way_back_is_that_of_plain_operations() -> None:
    delta, x = randomised(made(0).double(), 0), state(6).double().requires_grad_()
    trained = [x, *delta.parameters()]
    found = torch.autograd.grad(delta(x, weight=WEIGHT.double()).square().sum(), trained)
    plain = Plain.forward(cast(Plain, delta), x, weight=WEIGHT.double())
    expected = torch.autograd.grad(plain.square().sum(), trained)
    for got, want in zip(found, expected, strict=True):
        assert torch.allclose(got, want, atol=1e-10)


def test_weights_of_more_rows_than_a_block_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    delta, x = randomised(made(0), 0), state(6)
    whole = delta(x, weight=WEIGHT)
    monkeypatch.setattr(dynamic_lowrank, "_CACHED", 18)  # three rows, then one
    assert torch.allclose(delta(x, weight=WEIGHT), whole)


def test_far_from_the_start_nothing_overflows() -> None:
    delta, x = made(0), state(6).requires_grad_()
    with torch.no_grad():
        delta.scale_u.fill_(1.0)
        delta.scale_v.copy_(torch.linspace(-80, 80, 18).reshape(3, 6))
    change = delta(x, weight=WEIGHT)
    change.sum().backward()
    assert change.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in delta.parameters())
