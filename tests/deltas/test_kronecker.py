"""The Kronecker update against its equation written with `torch.kron`."""

from __future__ import annotations

import torch
from torch import Tensor

from autopeft.deltas import Part
from autopeft.deltas.kronecker import Kronecker, SlowFactors
from autopeft.deltas.size import size
from tests.deltas.common import assert_packs_equal_one_by_one, randomised

TERMS, SIDE, FAN_IN, FAN_OUT, SCALE = 6, 4, 12, 20, 0.5


def made(seed: int = 0) -> tuple[Kronecker, SlowFactors]:
    delta = Kronecker(FAN_IN, FAN_OUT, terms=TERMS, side=SIDE, scale=SCALE)
    return randomised(delta, seed), randomised(SlowFactors(TERMS, SIDE), seed + 100)


def by_equation(delta: Kronecker, slow: SlowFactors) -> Tensor:
    terms = zip(slow.a, slow.b, delta.u, delta.v, strict=True)
    return SCALE * sum(torch.kron(torch.outer(a, b), torch.outer(u, v)) for a, b, u, v in terms)


def test_change_follows_the_equation() -> None:
    delta, slow = made()
    x = torch.randn(2, 3, FAN_IN, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(delta(x, shared=slow), x @ by_equation(delta, slow).T, atol=1e-4)


def test_folding_adds_the_same_matrix() -> None:
    delta, slow = made()
    weight, bias = torch.ones(FAN_OUT, FAN_IN), torch.ones(FAN_OUT)
    folded, same = delta.folded(weight, bias, shared=slow)
    assert torch.allclose(folded, weight + by_equation(delta, slow), atol=1e-4)
    assert same is bias


def test_a_fresh_one_changes_nothing_and_learns() -> None:
    torch.manual_seed(0)
    delta, slow = Kronecker(FAN_IN, FAN_OUT, terms=TERMS, side=SIDE), SlowFactors(TERMS, SIDE)
    x = torch.randn(5, FAN_IN)
    change = delta(x, shared=slow)
    assert not change.any()
    change.sum().backward()
    assert delta.u.grad is not None and delta.u.grad.abs().min() > 0


def test_size_is_that_of_the_tensors_and_the_slow_factors_count_once() -> None:
    delta, slow = made()
    parts = [
        Part(
            delta="kronecker",
            module=f"layer.{layer}",
            site="attn.q",
            layer=layer,
            fan_in=FAN_IN,
            fan_out=FAN_OUT,
            settings={"terms": TERMS, "side": SIDE},
            shares="slow",
        )
        for layer in range(3)
    ]
    own = sum(p.numel() for p in delta.parameters())
    assert size(parts) == 3 * own + sum(p.numel() for p in slow.parameters())


def test_packs_equal_one_by_one() -> None:
    x = 0.1 * torch.randn(2, 5, FAN_IN, generator=torch.Generator().manual_seed(1))
    slow = made()[1]
    assert_packs_equal_one_by_one([made(seed)[0] for seed in range(3)], x, shared=slow)
