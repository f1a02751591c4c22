"""Scale: Δh = (l − 1) ⊙ h."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    made_from,
    part_of,
    state,
)

OUTPUT = part_of("scale", reads="output")
INPUT = part_of("scale", fan_out=6, changes="input")


def test_makes_h_l_times_h() -> None:
    delta, h = made_from(OUTPUT, seed=1), state(4)
    expected = torch.einsum("i,bsi->bsi", delta.factors, h)
    torch.testing.assert_close(h + delta(h), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("part", [OUTPUT, INPUT])
def test_starts_at_zero(part) -> None:
    delta = made_from(part)
    assert (delta.factors == 1).all()
    assert not delta(state(part.fan_out)).any()


@pytest.mark.parametrize("part", [OUTPUT, INPUT])
def test_size(part) -> None:
    assert_size_is_exact(part)


def test_packs_equal_one_by_one() -> None:
    assert_packs_equal_one_by_one([made_from(OUTPUT, seed=i) for i in range(3)], state(4))


@pytest.mark.parametrize("bias", [True, False])
def test_folds_into_the_outputs_of_a_projection(bias: bool) -> None:
    base, x = nn.Linear(6, 4, bias=bias), state(6)
    delta = made_from(OUTPUT, base, seed=1)
    folded = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, base(x) + delta(base(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_folds_into_the_inputs_of_a_projection(bias: bool) -> None:
    base, x = nn.Linear(6, 4, bias=bias), state(6)
    delta = made_from(INPUT, base, seed=1)
    folded = nn.functional.linear(x, *delta.folded(base.weight, base.bias))
    torch.testing.assert_close(folded, base(x + delta(x)), rtol=1e-5, atol=1e-5)
