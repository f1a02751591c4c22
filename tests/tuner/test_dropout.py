"""Dropout: as often as asked, made up for exactly, each number on its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from autopeft.deltas import Part
from autopeft.deltas.low_rank import LowRank
from autopeft.tuner.actor import Actor


def actor(dropout: float) -> Actor:
    part = Part(
        delta="low_rank", module="q", site="attn.q", layer=0, fan_in=8, fan_out=8, dropout=dropout
    )
    return Actor(part, LowRank(8, 8, r=2), None, None)


def drawn(
    dropout: float, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = actor(dropout).kept(torch.zeros(shape, dtype=dtype), [generator])
    assert found is not None
    return found


@pytest.mark.parametrize("dropout", [0.05, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_and_the_rest_makes_up_for_them(dropout: float) -> None:
    found = drawn(dropout, 100, 1000)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - dropout)], rel=1e-3)
    deviation = (dropout * (1 - dropout) / found.numel()) ** 0.5
    assert abs((found == 0).float().mean().item() - dropout) < 4 * deviation
    assert abs(found.mean().item() - 1) < 4 * deviation / (1 - dropout)


def test_numbers_from_one_draw_know_nothing_of_each_other() -> None:
    found = (drawn(0.3, 200_000) == 0).float().view(-1, 4)
    correlation = np.corrcoef(found.numpy().T)
    for one, other in itertools.combinations(range(4), 2):
        assert abs(correlation[one, other]) < 4 / len(found) ** 0.5


def test_the_same_as_reading_sixteen_bits_after_sixteen() -> None:
    generator = torch.Generator().manual_seed(3)
    draws = [torch.empty((), dtype=torch.int64) for _ in range(4)]
    draws = [one.random_(-(2**63), None, generator=generator) for one in draws]
    numbers = []
    for draw in draws:
        bits = draw.item() % 2**64
        numbers += [(bits >> shift) % 2**16 for shift in (0, 16, 32, 48)]
    signed = [number - 2**16 if number >= 2**15 else number for number in numbers]
    dropped = round(0.25 * 2**16)
    expected = [(number + 2**15 >= dropped) / 0.75 for number in signed]
    found = drawn(0.25, 3, 5, seed=3)
    assert found.flatten().tolist() == pytest.approx(expected[:15])


def test_precision_of_what_the_delta_reads() -> None:
    assert drawn(0.1, 4, 4, dtype=torch.bfloat16).dtype == torch.bfloat16
    high = actor(0.1)
    high.delta.low_precision = False  # type: ignore[misc]
    found = high.kept(torch.zeros(4, 4, dtype=torch.bfloat16), [])
    assert found is not None
    assert found.dtype == torch.float32


def test_nothing_is_drawn_without_dropout() -> None:
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert actor(0.0).kept(torch.zeros(2, 2), [generator]) is None
    assert torch.equal(generator.get_state(), state)
