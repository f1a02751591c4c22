"""Weight-decomposed: against the weight written out, with its direction and its magnitude."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autopeft.deltas.delta import frozen_weight
from autopeft.deltas.weight_decomposed import WeightDecomposed
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    state,
)

SETTINGS = {"r": 2, "alpha": 6}
PART = part_of("weight_decomposed", settings=SETTINGS)


def made(base: nn.Module, seed: int | None = None, **settings: Any) -> WeightDecomposed:
    part = part_of("weight_decomposed", settings=SETTINGS | settings)
    delta = made_from(part, base, seed=seed)
    assert isinstance(delta, WeightDecomposed)
    return delta


def change(delta: WeightDecomposed, base: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = delta(x, output=base(x), weight=frozen_weight(base))
    return result


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("settings", "scale"), [({}, 3.0), ({"r": 4, "rslora": True}, 3.0)])
def test_equation(bias: bool, settings: dict[str, Any], scale: float) -> None:
    base, x = nn.Linear(6, 4, bias=bias), state(6)
    delta = made(base, 1, **settings)
    whole = base.weight + scale * delta.b @ delta.a
    direction = whole / whole.norm(dim=1, keepdim=True)
    expected = nn.functional.linear(x, delta.magnitude[:, None] * direction, base.bias)
    torch.testing.assert_close(base(x) + change(delta, base, x), expected, rtol=1e-4, atol=1e-5)
    folded = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-5)


def test_a_transposed_projection_is_changed_alike() -> None:
    base, turned, x = nn.Linear(6, 4), Conv1D(4, 6), state(6)
    turned.weight.data, turned.bias.data = base.weight.data.T.clone(), base.bias.data
    one, other = made(base, 1), made(turned, 1)
    torch.testing.assert_close(change(one, base, x), change(other, turned, x))


def test_a_fresh_one_changes_nothing() -> None:
    base = nn.Linear(6, 4)
    assert change(made(base), base, state(6)).abs().max() < 1e-6


def test_the_norm_is_a_constant_on_the_way_back() -> None:
    base, x = nn.Linear(6, 4), state(6)
    delta = made(base, 1)
    (found,) = torch.autograd.grad(change(delta, base, x).sum(), delta.b)
    norm = (base.weight + 3 * delta.b @ delta.a).norm(dim=1).detach()
    gain = delta.magnitude.detach() / norm
    (expected,) = torch.autograd.grad((gain * 3 * (x @ delta.a.T @ delta.b.T)).sum(), delta.b)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_size() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    base, x = nn.Linear(6, 4), state(6)
    members = [made(base, seed) for seed in range(3)]
    extra = {"output": base(x).detach(), "weight": frozen_weight(base)}
    assert_packs_equal_one_by_one(members, x, **extra)


def test_it_is_far_from_the_frozen_projection() -> None:
    base, x = nn.Linear(6, 4), state(6)
    assert not close(base(x) + change(made(base, 1), base, x), base(x))
