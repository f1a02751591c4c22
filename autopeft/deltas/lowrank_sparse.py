"""Low rank and sparse: ΔW = s·B·A + S."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn, frozen_weight

if TYPE_CHECKING:
    from autopeft.deltas import Part

ROUNDS = 10


class LowRankSparse(Delta):
    """Δh = (α/r)·B A x + S x, where S has N entries at positions that the frozen weight decides.

    Paper: Chen et al. (2023), DSEE: Dually Sparsity-embedded Efficient Tuning of Pre-trained
    Language Models. The positions are those that a matrix of rank r fits worst, see `worst_fitted`;
    they are found when the delta is made and kept with its weights.

    Shapes: x (…, fan_in), A (r, fan_in), B (fan_out, r), S's positions (2, N) as rows and columns,
    its values (N,), Δh (…, fan_out).
    Initialisation: A Kaiming-uniform(√5), B and S zero, so Δh = 0.
    Trained: r·(fan_in + fan_out) + N.
    """

    name = "lowrank_sparse"
    linear = True
    positions: Tensor

    def __init__(
        self, fan_in: int, fan_out: int, *, positions: Tensor, r: int, alpha: float
    ) -> None:
        super().__init__()
        self.scale = alpha / r
        self.a = nn.Parameter(drawn(r, fan_in))
        self.b = nn.Parameter(torch.zeros(fan_out, r))
        self.values = nn.Parameter(torch.zeros(positions.shape[1]))
        self.register_buffer("positions", positions)

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        r, entries = int(part.settings["r"]), int(part.settings["entries"])
        positions = worst_fitted(frozen_weight(base), rank=r, entries=entries)
        alpha = float(part.settings["alpha"])
        return cls(part.fan_in, part.fan_out, positions=positions, r=r, alpha=alpha)

    def forward(self, x: Tensor) -> Tensor:
        low = nn.functional.linear(nn.functional.linear(x, self.a), self.b) * self.scale
        rows, columns = self.positions
        entries = x.index_select(-1, columns) * self.values
        return low.index_add(-1, rows, entries.to(low.dtype))  # of autocast, narrower

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        rows, columns = self.positions
        low = weight + self.scale * self.b @ self.a
        return low.index_put((rows, columns), self.values, accumulate=True), bias


def worst_fitted(weight: Tensor, *, rank: int, entries: int, rounds: int = ROUNDS) -> Tensor:
    """Return the rows and columns (2, entries) of a weight's entries that low rank fits worst.

    Splits W ≈ L + S by turns, after GreBsmo (Zhou & Tao, 2013): L is the best matrix of that rank
    to W − S, where subspace iteration from round to round stands for the decomposition into
    singular values; S keeps the `entries` largest values of W − L. The same weight gives the same
    positions.

    Args:
        weight: (fan_out, fan_in).
        rank: of L; at most the smaller width is used.
        entries: of S.
        rounds: turns.
    """
    draw = torch.Generator().manual_seed(0)
    rank = min(rank, *weight.shape)
    basis = torch.randn(weight.shape[1], rank, generator=draw).to(weight.device)
    sparse = torch.zeros_like(weight)
    largest = torch.arange(0)
    for _ in range(rounds):
        rest = weight - sparse
        image = torch.linalg.qr(rest @ basis).Q
        basis = torch.linalg.qr(rest.T @ image).Q
        residual = weight - rest @ basis @ basis.T
        largest = residual.abs().flatten().topk(entries).indices
        sparse = torch.zeros_like(weight).flatten()
        sparse = sparse.index_copy(0, largest, residual.flatten()[largest]).view_as(weight)
    width = weight.shape[1]
    return torch.stack([largest // width, largest % width])


DELTAS.register(LowRankSparse)
