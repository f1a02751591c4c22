"""Hypercomplex: a bottleneck whose weights are sums of Kronecker products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.bottleneck import ACTIVATIONS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part

SPREAD = 0.01


class Rules(nn.Module):
    """The factors A_i that every adapter of a model shares.

    Shapes: A (n, n, n), the first for i.
    Initialisation: normal, of spread 0.01 as in the authors' scripts.
    Trained: n³.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.randn(n, n, n) * SPREAD)


class Hypercomplex(Delta):
    """Δh = W_up f(W_down h + b_down) + b_up, each W = Σ_{i=1..n} A_i ⊗ (s_i t_iᵀ).

    Paper: Karimi Mahabadi et al. (2021), Compacter: Efficient Low-Rank Hypercomplex Adapter Layers.
    A_i (n, n) are shared by all layers, and, as in the authors' code, by W_down and W_up; s_i and
    t_i belong to one weight. n must divide all three widths.

    Shapes: h (…, fan_in), W_down (width, fan_in) from s (n, width/n) and t (n, fan_in/n), W_up
    (fan_out, width) from s (n, fan_out/n) and t (n, width/n), Δh (…, fan_out).
    Initialisation: s and t Glorot-uniform, which the authors' code multiplies by √2; biases zero, A
    small (`Rules`); so Δh is near 0, and not exactly, because A = 0 would stop every gradient.
    Trained: fan_in + 2·width + fan_out, biases width + fan_out; once for all, n³.
    """

    name = "hypercomplex"
    low_precision = True

    def __init__(
        self, fan_in: int, fan_out: int, *, width: int, n: int = 4, activation: str = "gelu"
    ) -> None:
        super().__init__()
        self._activation = ACTIVATIONS[activation]
        self.down_s, self.down_t = _glorot(n, width // n), _glorot(n, fan_in // n)
        self.up_s, self.up_t = _glorot(n, fan_out // n), _glorot(n, width // n)
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up_bias = nn.Parameter(torch.zeros(fan_out))

    @classmethod
    def shared(cls, part: Part) -> nn.Module:
        return Rules(int(part.settings["n"]))

    def forward(self, h: Tensor, *, shared: Rules) -> Tensor:
        down = weight(shared.factors, self.down_s, self.down_t).to(h.dtype)
        up = weight(shared.factors, self.up_s, self.up_t).to(h.dtype)
        inner = self._activation(nn.functional.linear(h, down, self.down_bias.to(h.dtype)))
        return nn.functional.linear(inner, up, self.up_bias.to(h.dtype))


def weight(factors: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return Σ_i A_i ⊗ (s_i t_iᵀ).

    Shapes: factors (n, n, n), s (n, rows), t (n, columns); result (n·rows, n·columns).
    """
    n, rows, columns = factors.shape[-1], s.shape[-1], t.shape[-1]
    blocks = torch.einsum("ijk,ir,ic->jrkc", factors, s, t)
    return blocks.reshape(n * rows, n * columns)


def _glorot(n: int, width: int) -> nn.Parameter:
    """Return n vectors; each is drawn as a matrix (width, 1) would be."""
    bound = math.sqrt(6 / (width + 1))
    return nn.Parameter(torch.empty(n, width).uniform_(-bound, bound))


DELTAS.register(Hypercomplex)
