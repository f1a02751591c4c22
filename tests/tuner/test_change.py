"""The change of a pack's states, beside the slow way: taken apart, changed, put together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autopeft.tuner.change import changed
from autopeft.tuner.runs import Runs

SIZE, ROWS, TOKENS, WIDTH = 6, 2, 3, 4
GROUPINGS = ([[0, 1, 2, 3, 4, 5]], [[0, 1], [3]], [[0, 4], [1, 2], [5]], [[2]], [[1, 3, 5], [0, 2]])
SHAPES = ((ROWS, TOKENS, WIDTH), (WIDTH,), (ROWS, 1, 1))


def slowly(target: Tensor, groups: list[list[int]], changes: list[Tensor]) -> Tensor:
    pieces = list(target.unflatten(0, (SIZE, -1)).unbind(0))
    for members, change in zip(groups, changes, strict=True):
        for member, own in zip(members, change, strict=True):
            pieces[member] = pieces[member] + own.to(target.dtype)
    return torch.cat(pieces)


@pytest.mark.parametrize("groups", GROUPINGS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_changes_and_gradients_are_those_of_the_slow_way(
    groups: list[list[int]], shape: tuple[int, ...]
) -> None:
    target = torch.randn(SIZE * ROWS, TOKENS, WIDTH, requires_grad=True)
    changes = [torch.randn(len(members), *shape, requires_grad=True) for members in groups]
    weights = torch.randn(target.shape)
    found = []
    for result in (
        changed(target, Runs(SIZE, groups), changes),
        slowly(target, groups, changes),
    ):
        gradients = torch.autograd.grad((result * weights).sum(), (target, *changes))
        found.append((result.detach(), *gradients))
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow)


def test_the_state_keeps_its_dtype_and_a_change_gets_its_gradient_in_its_own() -> None:
    target = torch.randn(SIZE * ROWS, WIDTH, dtype=torch.bfloat16)
    change = torch.randn(2, ROWS, WIDTH, requires_grad=True)
    result = changed(target, Runs(SIZE, [[1, 2]]), [change])
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, slowly(target, [[1, 2]], [change]))
    result.sum().backward()
    assert change.grad is not None
    assert torch.equal(change.grad, torch.ones_like(change))


@pytest.mark.parametrize("groups", GROUPINGS, ids=str)
def test_a_group_reads_its_members_rows_and_neighbours_without_a_copy(
    groups: list[list[int]],
) -> None:
    state = torch.randn(SIZE * ROWS, WIDTH)
    runs = Runs(SIZE, groups)
    for number, members in enumerate(groups):
        own = runs.of(state, number)
        assert torch.equal(own, state.unflatten(0, (SIZE, -1))[members])
        if members == list(range(members[0], members[-1] + 1)):
            assert own.untyped_storage().data_ptr() == state.untyped_storage().data_ptr()
