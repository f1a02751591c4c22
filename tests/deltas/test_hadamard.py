"""Hadamard: against its equation, and the rank that it reaches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopeft.deltas.hadamard import Hadamard
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    randomised,
    state,
)

PART = part_of("hadamard", settings={"r": 2, "alpha": 6})


def by_equation(delta: Hadamard) -> Tensor:
    terms = [
        torch.outer(delta.b1[:, i] * delta.b2[:, j], delta.a1[i] * delta.a2[j])
        for i in range(2)
        for j in range(2)
    ]
    return 3 * torch.stack(terms).sum(0)


def test_change_and_folding_follow_the_equation() -> None:
    delta, x = randomised(Hadamard(6, 4, r=2, alpha=6), 1), state(6)
    torch.testing.assert_close(delta(x), x @ by_equation(delta).T, rtol=1e-5, atol=1e-5)
    folded, bias = delta.folded(torch.ones(4, 6), None)
    torch.testing.assert_close(folded, 1 + by_equation(delta), rtol=1e-5, atol=1e-5)
    assert bias is None


def test_two_of_rank_two_make_one_of_rank_four() -> None:
    delta = randomised(Hadamard(6, 4, r=2, alpha=6), 1)
    assert torch.linalg.matrix_rank(delta(torch.eye(6)).detach()) == 4


def test_a_fresh_one_changes_nothing_and_learns() -> None:
    delta = made_from(PART, nn.Linear(6, 4))
    assert not delta(state(6)).any()
    delta(state(6)).sum().backward()
    assert delta.a2.grad is not None and delta.a2.grad.abs().min() > 0


def test_size() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    assert_packs_equal_one_by_one([made_from(PART, seed=i) for i in range(3)], state(6))
