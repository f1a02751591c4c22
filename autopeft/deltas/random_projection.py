"""Random projections: Δh = b ⊙ B·(d ⊙ A·x), with A and B drawn once for all modules."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

SEED = 0
KEPT = 32
"""Pairs of projections that a process keeps, by size, device and dtype."""


class RandomProjection(Delta):
    """Δh = b ⊙ B (d ⊙ A x), with random A and B that never train and all modules share.

    Paper: Kopiczko et al. (2024), VeRA: Vector-based Random Matrix Adaptation. A and B are as wide
    as the widest of the adapted modules; each uses the first columns or rows. They follow from
    their size, so no candidate keeps its own.

    Shapes: x (…, fan_in), A (r, widest_in), B (widest_out, r), d (r,), b and Δh (…, fan_out).
    Initialisation: b zero, so Δh = 0, d constant, A and B Kaiming-uniform.
    Trained: r + fan_out.
    """

    name = "random_projection"
    linear = True
    low_precision = True

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        r: int,
        widest_in: int,
        widest_out: int,
        d_initial: float,
    ) -> None:
        super().__init__()
        self._fan_in, self._fan_out = fan_in, fan_out
        self._size = (r, widest_in, widest_out)
        projections(*self._size)  # drawn now, because `torch.vmap` lets nothing be drawn
        self.d = nn.Parameter(torch.full((r,), d_initial))
        self.b = nn.Parameter(torch.zeros(fan_out))

    def projections(self) -> tuple[Tensor, Tensor]:
        """Return A (r, widest_in) and B (widest_out, r) in float32."""
        return projections(*self._size)

    def forward(self, x: Tensor) -> Tensor:
        a, b = _moved(*self._size, x.device, x.dtype)
        inner = nn.functional.linear(x, a[:, : self._fan_in]) * self.d.to(x.dtype)
        return nn.functional.linear(inner, b[: self._fan_out]) * self.b.to(x.dtype)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        a, b = _moved(*self._size, weight.device, weight.dtype)
        low = self.d[:, None] * a[:, : self._fan_in]
        return weight + (self.b[:, None] * b[: self._fan_out]) @ low, bias


@lru_cache(maxsize=KEPT)
@torch.inference_mode(False)  # what is kept may serve a training later
def projections(r: int, widest_in: int, widest_out: int) -> tuple[Tensor, Tensor]:
    """Return A and B, drawn with the same seed for all; uniform, of variance 2/columns."""
    draw = torch.Generator("cpu").manual_seed(SEED)
    a = torch.empty(r, widest_in, device="cpu")
    b = torch.empty(widest_out, r, device="cpu")
    for matrix in (a, b):
        bound = math.sqrt(6 / matrix.shape[1])
        matrix.uniform_(-bound, bound, generator=draw)
    return a, b


@lru_cache(maxsize=KEPT)
@torch.inference_mode(False)
def _moved(
    r: int, widest_in: int, widest_out: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    a, b = projections(r, widest_in, widest_out)
    return a.to(device, dtype), b.to(device, dtype)


DELTAS.register(RandomProjection)
