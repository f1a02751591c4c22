"""Low rank begun within the weight: what it begins with, and what training changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autopeft.deltas.low_rank_within import BEGINNINGS, LowRankWithin
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    randomised,
    state,
)

every_beginning = pytest.mark.parametrize("begins", BEGINNINGS)


def settings(begins: str) -> dict[str, Any]:
    return {"r": 2, "alpha": 6, "begins": begins}  # so the scale is 3


def made(begins: str, base: nn.Module | None = None, seed: int | None = None) -> LowRankWithin:
    delta = made_from(part_of("low_rank_within", settings=settings(begins)), base, seed=seed)
    assert isinstance(delta, LowRankWithin)
    return delta


@every_beginning
def test_change_is_what_training_added(begins: str) -> None:
    delta, x = made(begins), state(6)
    assert delta(x).abs().max() < 1e-5
    first = delta.b.detach() @ delta.a.detach()
    randomised(delta, 1)
    expected = 3 * (delta.b @ delta.a - first)
    torch.testing.assert_close(delta(x), x @ expected.T, rtol=1e-4, atol=1e-4)


def test_principal_is_the_best_matrix_of_that_rank() -> None:
    base = nn.Linear(6, 4)
    delta = made("principal", base)
    piece = 3 * (delta.b @ delta.a).detach()
    values = torch.linalg.svdvals(base.weight.detach())
    assert (base.weight.detach() - piece).norm() == pytest.approx(
        values[2:].norm().item(), rel=1e-4
    )
    gram_a, gram_b = delta.a @ delta.a.T, delta.b.T @ delta.b
    torch.testing.assert_close(gram_a, gram_b, rtol=1e-4, atol=1e-4)  # the roots, shared evenly


def test_orthonormal_begins_with_columns_of_the_weights_own_space() -> None:
    base = nn.Linear(6, 4)
    delta = made("orthonormal", base)
    torch.testing.assert_close(delta.b.T @ delta.b, torch.eye(2), rtol=1e-5, atol=1e-5)
    first_columns = delta.b @ delta.a[:, :2]
    torch.testing.assert_close(first_columns, base.weight[:, :2], rtol=1e-4, atol=1e-5)


@every_beginning
def test_a_transposed_projection_is_taken_apart_alike(begins: str) -> None:
    base, turned = nn.Linear(6, 4), Conv1D(4, 6)
    turned.weight.data = base.weight.data.T.clone()
    assert close(made(begins, base).a, made(begins, turned).a)


@every_beginning
def test_doubled_is_the_same_change_as_one_update(begins: str) -> None:
    delta, x = made(begins, seed=1), state(6)
    a, b = delta.doubled()
    assert a.shape == (4, 6) and b.shape == (4, 4)
    torch.testing.assert_close(delta(x), 3 * x @ a.T @ b.T, rtol=1e-5, atol=1e-5)


@every_beginning
def test_size(begins: str) -> None:
    assert_size_is_exact(part_of("low_rank_within", settings=settings(begins)))


@every_beginning
def test_packs_equal_one_by_one(begins: str) -> None:
    base = nn.Linear(6, 4)
    assert_packs_equal_one_by_one([made(begins, base, seed) for seed in range(3)], state(6))


@every_beginning
def test_folds_into_a_projection(begins: str) -> None:
    base, x = nn.Linear(6, 4), state(6)
    delta = made(begins, base, seed=1)
    folded: Tensor = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, base(x) + delta(x), rtol=1e-4, atol=1e-4)
    assert not close(folded, base(x))
