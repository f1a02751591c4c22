"""Random projections: against the equation, and that all modules and candidates share them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopeft.deltas import random_projection
from autopeft.deltas.random_projection import RandomProjection, projections
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    randomised,
    state,
)

SETTINGS: dict[str, Any] = {"r": 8, "widest_in": 10, "widest_out": 9, "d_initial": 0.1}
PART = part_of("random_projection", settings=SETTINGS)


def by_equation(delta: RandomProjection) -> Tensor:
    a, b = delta.projections()
    return torch.diag(delta.b) @ b[:4] @ torch.diag(delta.d) @ a[:, :6]


def test_change_and_folding_follow_the_equation() -> None:
    delta, x = randomised(RandomProjection(6, 4, **SETTINGS), 1), state(6)
    torch.testing.assert_close(delta(x), x @ by_equation(delta).T, rtol=1e-4, atol=1e-4)
    folded, bias = delta.folded(torch.ones(4, 6), None)
    torch.testing.assert_close(folded, 1 + by_equation(delta), rtol=1e-4, atol=1e-4)
    assert bias is None


def test_a_fresh_one_changes_nothing_and_learns() -> None:
    delta = RandomProjection(6, 4, **SETTINGS)
    assert delta.d.eq(0.1).all()
    assert not delta(state(6)).any()
    delta(state(6)).sum().backward()
    assert delta.b.grad is not None and delta.b.grad.abs().min() > 0


def test_projections_follow_from_their_size_alone() -> None:
    torch.manual_seed(1)
    first = projections(8, 10, 9)
    projections.cache_clear()
    torch.manual_seed(2)
    again = projections(8, 10, 9)
    assert [matrix.shape for matrix in again] == [(8, 10), (9, 8)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert abs(again[0].var() / (2 / 10) - 1) < 0.4  # Kaiming-uniform, of variance 2/columns


def test_drawing_them_leaves_torchs_own_numbers_alone() -> None:
    projections.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    projections(8, 10, 9)
    assert torch.equal(torch.rand(2), expected)


def test_made_on_the_meta_device_they_still_have_values() -> None:
    projections.cache_clear()
    with torch.device("meta"):
        RandomProjection(6, 4, **SETTINGS)
    assert all(matrix.device.type == "cpu" for matrix in projections(8, 10, 9))


def test_first_used_where_nothing_is_learnt_they_can_be_learnt_with() -> None:
    """A tensor made in inference mode could never be part of a training again."""
    projections.cache_clear()
    random_projection._moved.cache_clear()
    with torch.inference_mode():
        delta = RandomProjection(6, 4, **SETTINGS)
        delta(state(6))
    fresh = RandomProjection(6, 4, **SETTINGS)
    fresh(state(6)).sum().backward()
    assert fresh.b.grad is not None


def test_size() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    assert_packs_equal_one_by_one([made_from(PART, seed=i) for i in range(3)], state(6))
