"""Dynamic low rank: the frozen weight rescaled, and an update that depends on the token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn


class DynamicLowRank(Delta):
    """Δh = ((Φ₁ − 1) ⊙ W₀) x + U Σ(x) Vᵀ x, with Φ₁ = softplus(U₁ V₁ᵀ + c) of rank r within.

    Paper: Hou et al. (2022), Meta-Learning the Difference: Preparing Large Language Models for
    Efficient Adaptation (TARP). Σ(x) is made of the token x by one linear map. c = log(e − 1)
    is ours: softplus(c) = 1, so that Φ₁ starts at 1.

    Shapes: x (…, fan_in), W₀ (fan_out, fan_in), U and U₁ (fan_out, r), Vᵀ and V₁ᵀ (r, fan_in), Σ(x)
    (…, r, r), Δh (…, fan_out).
    Initialisation: V and V₁ zero, so Δh = 0; U, U₁ and the map of Σ as in `nn.Linear`.
    Trained: 2·r·(fan_in + fan_out) + r²·(fan_in + 1).
    """

    name = "dynamic_lowrank"
    low_precision = True
    reads_weight = True

    def __init__(self, fan_in: int, fan_out: int, *, r: int) -> None:
        super().__init__()
        self.u = nn.Parameter(drawn(fan_out, r))
        self.scale_u = nn.Parameter(drawn(fan_out, r))
        self.v = nn.Parameter(torch.zeros(r, fan_in))
        self.scale_v = nn.Parameter(torch.zeros(r, fan_in))
        self.sigma = nn.Linear(fan_in, r * r)

    def forward(self, x: Tensor, *, weight: Tensor) -> Tensor:
        rescale = softplus_less_one(self.scale_u @ self.scale_v)
        rescaled = nn.functional.linear(x, weight.to(x.dtype) * rescale.to(x.dtype))
        inner = nn.functional.linear(x, self.v.to(x.dtype))
        sigma = nn.functional.linear(x, self.sigma.weight.to(x.dtype), self.sigma.bias.to(x.dtype))
        square = sigma.reshape(*inner.shape, inner.shape[-1])
        turned = (square * inner[..., None, :]).sum(dim=-1)
        return rescaled + nn.functional.linear(turned, self.u.to(x.dtype))


def softplus_less_one(z: Tensor) -> Tensor:
    """Return softplus(z + log(e − 1)) − 1, exactly 0 at z = 0.

    By algebra, log(1 + (e − 1)·exp z) − 1 = log(1 + (1 − 1/e)·(exp z − 1)); subtracting from the
    softplus itself would leave rounding errors where there is no change.
    """
    return torch.log1p((1 - 1 / math.e) * torch.expm1(z))


DELTAS.register(DynamicLowRank)
