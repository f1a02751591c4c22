"""The searched cell against its graph written edge by edge with torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autopeft.deltas.searched_cell import OPERATIONS, Choice, SearchedCell
from autopeft.deltas.size import size
from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    made_from,
    part_of,
    randomised,
    state,
    trained,
)

WIDTH = 2
PART = part_of("searched_cell", settings={"width": WIDTH}, shares="choice")
EDGES = ((0, 1), (0, 1, 2), (0, 1, 2, 3))
"""Of each inner node, the nodes that it hears from."""


def made(seed: int, *, causal: bool = False) -> SearchedCell:
    part = part_of("searched_cell", settings={"width": WIDTH, "causal": causal})
    delta = made_from(part, seed=seed)
    assert isinstance(delta, SearchedCell)
    return delta


def choice(seed: int = 7) -> Choice:
    made: Choice = randomised(Choice(), seed)
    return made


def convolved(node: Tensor, weight: Tensor, bias: Tensor, *, causal: bool) -> Tensor:
    """Return torch's own convolution over the tokens of (B, S, width)."""
    taps = weight.shape[1] // WIDTH
    kernel = weight.view(WIDTH, WIDTH, taps)
    ends = (taps - 1, 0) if causal else (taps // 2, taps // 2)
    padded = nn.functional.pad(node.transpose(1, 2), ends)
    return nn.functional.conv1d(padded, kernel, bias).transpose(1, 2)


def by_equation(delta: SearchedCell, logits: Tensor, h: Tensor, *, causal: bool) -> Tensor:
    entered = h @ delta.down.T + delta.down_bias
    nodes = [entered[..., :WIDTH], entered[..., WIDTH:]]
    edge = 0
    for sources in EDGES:
        total = torch.zeros_like(nodes[0])
        for source in sources:
            node, share = nodes[source], logits[edge].softmax(0)
            glu = node @ delta.glu[edge].T + delta.glu_bias[edge]
            outcome = {
                "zero": torch.zeros_like(node),
                "skip": node,
                "linear": node @ delta.dense[edge].T + delta.dense_bias[edge],
                "glu": glu[..., :WIDTH] * torch.sigmoid(glu[..., WIDTH:]),
            }
            for name in ("conv3", "conv5"):
                weight, bias = getattr(delta, name)[edge], getattr(delta, f"{name}_bias")[edge]
                outcome[name] = convolved(node, weight, bias, causal=causal)
            for index, name in enumerate(OPERATIONS):
                total = total + share[index] * outcome[name]
            edge += 1
        nodes.append(total)
    return (nodes[2] + nodes[3] + nodes[4]) / 3 @ delta.up.T + delta.up_bias


@pytest.mark.parametrize("causal", [False, True])
def test_change_follows_the_graph(causal: bool) -> None:
    delta, shared, h = made(0, causal=causal), choice(), state(6)
    expected = by_equation(delta, shared.logits, h, causal=causal)
    torch.testing.assert_close(delta(h, shared=shared, mask=None), expected, rtol=1e-4, atol=1e-3)


def test_padding_on_either_side_changes_nothing() -> None:
    delta, shared, h = made(0).double(), choice().double(), state(6).double()
    plain = delta(h, shared=shared, mask=None)
    for left, right in ((0, 3), (2, 0), (2, 3)):
        padded = nn.functional.pad(h, (0, 0, left, right), value=9.0)
        mask = nn.functional.pad(torch.ones(h.shape[:2]), (left, right))
        changed = delta(padded, shared=shared, mask=mask)
        torch.testing.assert_close(changed[:, left : left + h.shape[1]], plain)


def test_a_decoders_cell_does_not_look_ahead() -> None:
    delta, shared, h = made(0, causal=True), choice(), state(6)
    changed = h.clone()
    changed[:, 3:] += 1.0
    before, after = (delta(x, shared=shared, mask=None) for x in (h, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_a_fresh_one_changes_nothing_and_every_operation_has_a_sixth() -> None:
    delta, shared = made_from(PART), Choice()
    assert not delta(state(6), shared=shared, mask=None).any()
    torch.testing.assert_close(shared.shares(), torch.full((9, 6), 1 / 6))


def test_size_is_that_of_the_tensors_and_the_choice_counts_once() -> None:
    assert size([PART, PART]) == 2 * trained(made_from(PART)) + trained(Choice())


def test_packs_equal_one_by_one() -> None:
    members = []
    for seed in range(3):
        member = made(seed).double()
        for parameter in member.parameters():
            parameter.data *= 0.3
        members.append(member)
    assert_packs_equal_one_by_one(
        members, state(6).double(), shared=choice().double(), mask=torch.ones(3, 5)
    )
