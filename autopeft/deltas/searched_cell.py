"""Searched cell: a small graph of operations at reduced width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn

if TYPE_CHECKING:
    from autopeft.deltas import Part

INPUTS, INNER = 2, 3
EDGES = sum(INPUTS + node for node in range(INNER))
OPERATIONS = ("zero", "skip", "linear", "conv3", "conv5", "glu")


class Choice(nn.Module):
    """How much of each operation every edge gets; one choice for the cells of all layers.

    Shapes: logits (9, 6), edges by `OPERATIONS`.
    Initialisation: zero, so every operation has a sixth.
    Trained: 54.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(EDGES, len(OPERATIONS)))

    def shares(self) -> Tensor:
        """Return the share (9, 6) of each operation; those of an edge sum to 1."""
        return self.logits.softmax(dim=-1)


class SearchedCell(Delta):
    """Δh = W_up · mean(n₃, n₄, n₅) + b_up, with n_j = Σ_{i<j} Σ_o share_{ij,o} · o_{ij}(n_i).

    Paper: Hou et al. (2022), Meta-Learning the Difference: Preparing Large Language Models for
    Efficient Adaptation (TAMS). The input nodes n₁ and n₂ are two projections of h; each of three
    inner nodes sums what comes over the edges from all nodes before it, nine in all; an edge does
    nothing, passes on, maps linearly, convolves 3 or 5 tokens, or is a gated linear unit. The paper
    draws one operation per edge (Gumbel-softmax, by a controller meta-learned over tasks); here all
    are mixed by trained shares (Liu et al., 2019, DARTS), which needs no other tasks.

    A convolution takes padding as zeros, so padding changes nothing; with `causal` it looks back
    only.

    Shapes: h (B, S, fan_in), mask (B, S), nodes (B, S, width), Δh (B, S, fan_out).
    Initialisation: W_up and the biases zero, so Δh = 0; all else Kaiming-uniform(√5).
    Trained: 2·width·(fan_in + 1) + 9·width·(11·width + 5) + fan_out·(width + 1); once for all, 54.
    """

    name = "searched_cell"
    reads_mask = True

    def __init__(self, fan_in: int, fan_out: int, *, width: int, causal: bool = False) -> None:
        super().__init__()
        self._causal = causal
        self.down, self.down_bias = _matrix(INPUTS * width, fan_in), _zeros(INPUTS * width)
        self.dense, self.dense_bias = _matrix(EDGES, width, width), _zeros(EDGES, width)
        self.conv3, self.conv3_bias = _matrix(EDGES, width, 3 * width), _zeros(EDGES, width)
        self.conv5, self.conv5_bias = _matrix(EDGES, width, 5 * width), _zeros(EDGES, width)
        self.glu, self.glu_bias = _matrix(EDGES, 2 * width, width), _zeros(EDGES, 2 * width)
        self.up, self.up_bias = _zeros(fan_out, width), _zeros(fan_out)

    @classmethod
    def shared(cls, part: Part) -> nn.Module:
        del part
        return Choice()

    def forward(self, h: Tensor, *, shared: Choice, mask: Tensor | None) -> Tensor:
        shares = shared.shares()
        entered = nn.functional.linear(h, self.down, self.down_bias)
        nodes = list(entered.chunk(INPUTS, dim=-1))
        edge = 0
        for _ in range(INNER):
            arrived = torch.zeros_like(nodes[0])
            for node in nodes:
                arrived = arrived + self._mixed(edge, node, shares[edge], mask)
                edge += 1
            nodes.append(arrived)
        inner = torch.stack(nodes[INPUTS:]).mean(dim=0)
        return nn.functional.linear(inner, self.up, self.up_bias)

    def _mixed(self, edge: int, node: Tensor, shares: Tensor, mask: Tensor | None) -> Tensor:
        """Return what comes over an edge: all its operations, by their shares."""
        real = node if mask is None else node * mask[..., None].to(node.dtype)
        linear = nn.functional.linear
        results = (
            node,
            linear(node, self.dense[edge], self.dense_bias[edge]),
            linear(self._around(real, 3), self.conv3[edge], self.conv3_bias[edge]),
            linear(self._around(real, 5), self.conv5[edge], self.conv5_bias[edge]),
            nn.functional.glu(linear(node, self.glu[edge], self.glu_bias[edge])),
        )
        return torch.stack([s * r for s, r in zip(shares[1:], results, strict=True)]).sum(dim=0)

    def _around(self, node: Tensor, tokens: int) -> Tensor:
        """Return each token with those around it (B, S, width · tokens), zeros beyond the text."""
        before = tokens - 1 if self._causal else tokens // 2
        wide = nn.functional.pad(node, (0, 0, before, tokens - 1 - before))
        return wide.unfold(-2, tokens, 1).flatten(-2)


def _matrix(*shape: int) -> nn.Parameter:
    return nn.Parameter(drawn(*shape))


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


DELTAS.register(SearchedCell)
