"""Low rank and sparse against its equation, and the positions that the frozen weight decides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autopeft.deltas.lowrank_sparse import LowRankSparse, worst_fitted
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    state,
)

SETTINGS = {"r": 2, "alpha": 3.0, "entries": 5}
PART = part_of("lowrank_sparse", settings=SETTINGS)


def made(seed: int) -> LowRankSparse:
    torch.manual_seed(seed)  # of the frozen weight too, so that positions differ
    delta = made_from(PART, seed=seed)
    assert isinstance(delta, LowRankSparse)
    return delta


def by_equation(delta: LowRankSparse) -> Tensor:
    sparse = torch.zeros(PART.fan_out, PART.fan_in)
    for row, column, value in zip(*delta.positions.tolist(), delta.values.tolist(), strict=True):
        sparse[row, column] += value
    return 1.5 * delta.b @ delta.a + sparse


def test_change_follows_the_equation() -> None:
    delta, x = made(0), state(6)
    torch.testing.assert_close(delta(x), x @ by_equation(delta).T)


def test_folding_adds_the_same_matrix() -> None:
    delta, weight = made(0), torch.ones(4, 6)
    folded, bias = delta.folded(weight, None)
    assert close(folded, weight + by_equation(delta))
    assert bias is None
    assert weight.eq(1).all()


def test_a_fresh_one_changes_nothing() -> None:
    assert not made_from(PART)(state(6)).any()


def test_size_is_exact() -> None:
    assert_size_is_exact(PART)


def test_packs_equal_one_by_one() -> None:
    members = [made(seed) for seed in range(3)]
    assert len({str(member.positions.tolist()) for member in members}) == 3
    assert_packs_equal_one_by_one(members, state(6))


def low_rank_with_spikes(spikes: list[tuple[int, int]]) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    weight = torch.randn(40, 2, generator=draw) @ torch.randn(2, 30, generator=draw)
    for row, column in spikes:
        weight[row, column] += 20.0
    return weight


def test_positions_are_the_entries_that_low_rank_does_not_explain() -> None:
    spikes = [(0, 0), (3, 29), (17, 5), (39, 12)]
    found = worst_fitted(low_rank_with_spikes(spikes), rank=2, entries=4)
    assert sorted(zip(*found.tolist(), strict=True)) == spikes


@pytest.mark.parametrize("rank", [1, 3])
def test_the_low_rank_part_is_that_of_the_singular_values(rank: int) -> None:
    draw = torch.Generator().manual_seed(4)
    weight = torch.randn(20, 12, generator=draw) * torch.logspace(0, -4, 12)
    found = worst_fitted(weight, rank=rank, entries=1, rounds=30)
    sparse = torch.zeros_like(weight)
    for _ in range(30):
        u, s, v = torch.linalg.svd(weight - sparse, full_matrices=False)
        residual = weight - (u[:, :rank] * s[:rank]) @ v[:rank]
        row, column = divmod(int(residual.abs().argmax()), 12)
        sparse = torch.zeros_like(weight)
        sparse[row, column] = residual[row, column]
    assert found.flatten().tolist() == [row, column]


def test_a_transposed_weight_gives_the_same_positions() -> None:
    spikes = [(1, 2), (3, 5)]
    plain = nn.Linear(30, 40)
    plain.weight.data = low_rank_with_spikes(spikes)
    turned = Conv1D(40, 30)
    turned.weight.data = plain.weight.data.T.contiguous()
    part = part_of("lowrank_sparse", fan_in=30, fan_out=40, settings={**SETTINGS, "entries": 2})
    for base in (plain, turned):
        delta = made_from(part, base)
        assert isinstance(delta, LowRankSparse)
        assert sorted(zip(*delta.positions.tolist(), strict=True)) == spikes


def test_positions_are_kept_with_the_weights() -> None:
    delta, other = made(0), made(1)
    assert not torch.equal(delta.positions, other.positions)
    other.load_state_dict(delta.state_dict())
    assert torch.equal(delta.positions, other.float().positions)
    assert close(delta(state(6)), other(state(6)))
