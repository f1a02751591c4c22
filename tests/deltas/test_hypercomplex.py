"""The hypercomplex bottleneck against its equation written with `torch.kron`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.deltas.hypercomplex import Hypercomplex, Rules, weight
from autopeft.deltas.size import size
from tests.deltas.common import assert_packs_equal_one_by_one, randomised

N, FAN_IN, FAN_OUT, WIDTH = 4, 24, 16, 8


def by_equation(factors: Tensor, s: Tensor, t: Tensor) -> Tensor:
    return sum(torch.kron(a, torch.outer(x, y)) for a, x, y in zip(factors, s, t, strict=True))


def made(seed: int = 0) -> tuple[Hypercomplex, Rules]:
    delta = Hypercomplex(FAN_IN, FAN_OUT, width=WIDTH, n=N)
    return randomised(delta, seed), randomised(Rules(N), seed + 100)


def test_weight_is_the_sum_of_kronecker_products() -> None:
    draw = torch.Generator().manual_seed(0)
    factors, s, t = (torch.randn(N, *rest, generator=draw) for rest in ((N, N), (3,), (5,)))
    assert torch.allclose(weight(factors, s, t), by_equation(factors, s, t), atol=1e-6)


def test_change_follows_the_equation() -> None:
    delta, rules = made()
    h = torch.randn(2, 3, FAN_IN, generator=torch.Generator().manual_seed(1))
    down = by_equation(rules.factors, delta.down_s, delta.down_t)
    up = by_equation(rules.factors, delta.up_s, delta.up_t)
    expected = nn.functional.gelu(h @ down.T + delta.down_bias) @ up.T + delta.up_bias
    assert torch.allclose(delta(h, shared=rules), expected, atol=1e-5)


def test_a_fresh_one_changes_almost_nothing() -> None:
    torch.manual_seed(0)
    h = torch.randn(5, FAN_IN)
    change = Hypercomplex(FAN_IN, FAN_OUT, width=WIDTH, n=N)(h, shared=Rules(N))
    assert 0 < change.abs().max() < 1e-2


def test_shared_factors_get_the_gradients_of_both_weights() -> None:
    delta, rules = made()
    h = torch.randn(5, FAN_IN, generator=torch.Generator().manual_seed(1))
    both = torch.autograd.grad(delta(h, shared=rules).sum(), rules.factors)[0]
    below, above = (rules.factors.detach().clone().requires_grad_() for _ in range(2))
    down = by_equation(below, delta.down_s, delta.down_t)
    up = by_equation(above, delta.up_s, delta.up_t)
    change = nn.functional.gelu(h @ down.T + delta.down_bias) @ up.T + delta.up_bias
    apart = torch.autograd.grad(change.sum(), (below, above))
    assert all(part.any() for part in apart)
    assert torch.allclose(both, sum(apart), atol=1e-4)


def test_size_is_that_of_the_tensors_and_the_factors_count_once() -> None:
    delta, rules = made()
    parts = [
        Part(
            delta="hypercomplex",
            module=f"layer.{layer}",
            site="ffn.out",
            layer=layer,
            fan_in=FAN_IN,
            fan_out=FAN_OUT,
            settings={"width": WIDTH, "n": N},
            shares="rules",
        )
        for layer in range(3)
    ]
    own = sum(p.numel() for p in delta.parameters())
    assert size(parts) == 3 * own + sum(p.numel() for p in rules.parameters())


def test_packs_equal_one_by_one() -> None:
    x = 0.1 * torch.randn(2, 5, FAN_IN, generator=torch.Generator().manual_seed(1))
    rules = made()[1]
    assert_packs_equal_one_by_one([made(seed)[0] for seed in range(3)], x, shared=rules)
