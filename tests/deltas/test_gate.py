"""Gate: g = mean over real tokens of sigmoid(w·h + b)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from autopeft.deltas.gate import Gate
from autopeft.deltas.size import size
from tests.deltas.common import close, part_of, randomised, state, trained

LEFT = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
MASKS = {"none": None, "full": torch.ones(3, 5), "left": LEFT, "right": LEFT.flip(1)}


def by_hand(gate: Gate, h: Tensor, mask: Tensor | None) -> list[float]:
    """Return one number per example, token by token."""
    weight, bias = gate.linear.weight[0].tolist(), gate.linear.bias.item()
    means = []
    for example in range(h.shape[0]):
        each = [
            1 / (1 + math.exp(-sum(w * v for w, v in zip(weight, token, strict=True)) - bias))
            for place, token in enumerate(h[example].tolist())
            if mask is None or mask[example, place]
        ]
        means.append(sum(each) / len(each))
    return means


@pytest.mark.parametrize("kind", MASKS)
def test_equation(kind: str) -> None:
    gate, h, mask = randomised(Gate(6), 1), state(6), MASKS[kind]
    value = gate(h, mask)
    assert value.shape == (3, 1, 1)
    torch.testing.assert_close(value[:, 0, 0], torch.tensor(by_hand(gate, h, mask)))


def test_padding_does_not_matter() -> None:
    gate, h = randomised(Gate(6), 1), state(6)
    other = torch.where(LEFT[:, :, None] == 1, h, 1e3)
    assert torch.equal(gate(h, LEFT), gate(other, LEFT))


def test_example_without_a_real_token_is_shut() -> None:
    value = randomised(Gate(6), 1)(state(6), torch.zeros(3, 5))
    assert not value.any()


def test_starts_near_a_half() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        values = torch.stack([Gate(6)(state(6), None) for _ in range(20)])
    assert values.min() > 0.3 and values.max() < 0.7


def test_size() -> None:
    plain = part_of("low_rank", settings={"r": 2})
    own = replace(plain, gate="own", gate_width=6)
    assert size([own]) - size([plain]) == trained(Gate(6)) == 7


def test_shared_gate_is_counted_once() -> None:
    plain = part_of("low_rank", settings={"r": 2})
    shared = replace(plain, gate="layer0", gate_width=6)
    assert size([shared, shared]) - size([plain, plain]) == 7


@pytest.mark.parametrize("kind", MASKS)
def test_packs_equal_one_by_one(kind: str) -> None:
    gates, h, mask = [randomised(Gate(6), index) for index in range(3)], state(6), MASKS[kind]
    weights, buffers = stack_module_state(gates)
    together = torch.vmap(lambda own: functional_call(gates[0], (own, buffers), (h, mask)))(weights)
    for index, gate in enumerate(gates):
        assert close(together[index], gate(h, mask))
