"""The product of two matrices against `torch.kron`, with and without a rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from autopeft.deltas.kronecker_product import KroneckerProduct
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    state,
)

FAN_IN, FAN_OUT = 12, 20
with_and_without_rank = pytest.mark.parametrize("low", [True, False])


def part(low: bool) -> Any:
    settings = {"r": 2, "alpha": 6, "factor": 4, "rows": 4, "columns": 3, "low": low}
    return part_of("kronecker_product", fan_in=FAN_IN, fan_out=FAN_OUT, settings=settings)


def made(low: bool, seed: int | None = None) -> KroneckerProduct:
    delta = made_from(part(low), seed=seed)
    assert isinstance(delta, KroneckerProduct)
    return delta


def by_equation(delta: KroneckerProduct) -> Tensor:
    if delta.v is not None:
        return 3 * torch.kron(delta.u, delta.v)
    assert delta.a is not None and delta.b is not None
    return 3 * torch.kron(delta.u, delta.b @ delta.a)


@with_and_without_rank
def test_change_and_folding_follow_the_equation(low: bool) -> None:
    delta, x = made(low, 1), state(FAN_IN)
    torch.testing.assert_close(delta(x), x @ by_equation(delta).T, rtol=1e-4, atol=1e-4)
    folded, bias = delta.folded(torch.ones(FAN_OUT, FAN_IN), None)
    torch.testing.assert_close(folded, 1 + by_equation(delta), rtol=1e-4, atol=1e-4)
    assert bias is None


@with_and_without_rank
def test_a_fresh_one_changes_nothing_and_learns(low: bool) -> None:
    delta = made(low)
    assert not delta(state(FAN_IN)).any()
    delta(state(FAN_IN)).sum().backward()
    assert delta.u.grad is not None and delta.u.grad.abs().max() > 0


@with_and_without_rank
def test_size(low: bool) -> None:
    assert_size_is_exact(part(low))


@with_and_without_rank
def test_packs_equal_one_by_one(low: bool) -> None:
    assert_packs_equal_one_by_one([made(low, seed) for seed in range(3)], state(FAN_IN))
