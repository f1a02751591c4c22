"""Low rank: Δh = s·B·A·x."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from autopeft.deltas.low_rank import LowRank
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    randomised,
    state,
)

SCALES = [
    ({"r": 2, "alpha": 6}, 3.0),
    ({"r": 4, "alpha": 6, "rslora": True}, 3.0),
    ({"r": 2, "alpha": 6, "scaled": False}, 1.0),
    ({"r": 3}, 1 / 3),
]


@pytest.mark.parametrize(("settings", "scale"), SCALES)
def test_equation(settings: dict[str, object], scale: float) -> None:
    delta, x = randomised(LowRank(6, 4, **settings), 1), state(6)
    expected = torch.einsum("or,ri,bsi->bso", delta.b, delta.a, x) * scale
    torch.testing.assert_close(delta(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.linalg.matrix_rank(delta(torch.eye(6)).detach()) == settings["r"]


def test_starts_at_zero_with_an_a_that_can_learn() -> None:
    delta = made_from(part_of("low_rank", settings={"r": 2, "alpha": 4}))
    assert not delta(state(6)).any()
    assert 0 < delta.a.abs().max() <= 1 / math.sqrt(6)  # Kaiming-uniform(√5): ±1/√fan_in


@pytest.mark.parametrize("settings", [{"r": 2}, {"r": 3, "freeze_a": True}])
def test_size(settings: dict[str, object]) -> None:
    assert_size_is_exact(part_of("low_rank", settings=settings))


def test_only_b_trains_with_a_frozen() -> None:
    delta = made_from(part_of("low_rank", settings={"r": 3, "freeze_a": True}))
    assert [name for name, p in delta.named_parameters() if p.requires_grad] == ["b"]


@pytest.mark.parametrize("frozen", [False, True])
def test_packs_equal_one_by_one(frozen: bool) -> None:
    part = part_of("low_rank", settings={"r": 2, "freeze_a": frozen})
    assert_packs_equal_one_by_one([made_from(part, seed=i) for i in range(3)], state(6))


@pytest.mark.parametrize("bias", [True, False])
def test_folds_into_a_projection(bias: bool) -> None:
    base, x = nn.Linear(6, 4, bias=bias), state(6)
    delta = made_from(part_of("low_rank", settings={"r": 2, "alpha": 4}), seed=1)
    folded = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, base(x) + delta(x), rtol=1e-5, atol=1e-5)
    assert not close(folded, base(x))
