"""Cut: the neurons of the smallest columns go, and nothing trains."""

from __future__ import annotations

import torch
from torch import nn

from autopeft.deltas.size import size
from tests.deltas.common import close, made_from, part_of, state, trained

PART = part_of("cut", fan_in=6, fan_out=6, changes="input", settings={"share": 1 / 3})


def base() -> nn.Linear:
    made = nn.Linear(6, 4)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([3.0, -0.1, 5, 2, 0.2, -4]) * torch.ones(4, 1))
    return made


def test_neurons_of_the_smallest_columns_go() -> None:
    h = state(6)
    left = h + made_from(PART, base())(h)
    assert not left[..., [1, 4]].any()
    assert close(left[..., [0, 2, 3, 5]], h[..., [0, 2, 3, 5]])


def test_folding_is_the_same_as_leaving_them_out() -> None:
    frozen, h = base(), state(6)
    delta = made_from(PART, frozen)
    weight, bias = delta.folded(frozen.weight, frozen.bias)
    assert close(nn.functional.linear(h, weight, bias), frozen(h + delta(h)))


def test_nothing_trains() -> None:
    assert size([PART]) == trained(made_from(PART, base())) == 0
