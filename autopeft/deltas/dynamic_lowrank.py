"""Dynamic low rank: the frozen weight rescaled, and an update that depends on the token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn

_CACHED = 2**17
"""Elements of a block: half a megabyte in float32."""


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
        return _rescaled(x, weight, self.scale_u, self.scale_v) + self._updated(x)

    def _updated(self, x: Tensor) -> Tensor:
        """Return U Σ(x) Vᵀ x."""
        inner = nn.functional.linear(x, self.v.to(x.dtype))
        sigma = nn.functional.linear(x, self.sigma.weight.to(x.dtype), self.sigma.bias.to(x.dtype))
        square = sigma.reshape(*inner.shape, inner.shape[-1])
        turned = (square * inner[..., None, :]).sum(dim=-1)
        return nn.functional.linear(turned, self.u.to(x.dtype))


def _rescaled(x: Tensor, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return ((Φ₁ − 1) ⊙ W₀) x, in the dtype of x.

    Args:
        x: (…, fan_in).
        weight: frozen W₀ (fan_out, fan_in).
        u: (fan_out, r).
        v: (r, fan_in).
    """
    result: Tensor = _Rescaled.apply(x, weight, u, v)[0]  # type: ignore[no-untyped-call]
    return result


def exp_softplus_less_one(z: Tensor) -> Tensor:
    """Return exp(softplus(z + log(e − 1)) − 1), exactly 1 at z = 0.

    By algebra, log(1 + (e − 1)·exp z) − 1 = log(1 + (1 − 1/e)·(exp z − 1)); subtracting from the
    softplus itself would leave rounding errors where there is no change. 1/e less than this, as a
    share of it, is the slope of the softplus.
    """
    return torch.exp(z).sub_(1).mul_(1 - 1 / math.e).add_(1)


class _Rescaled(torch.autograd.Function):
    """Made of blocks of rows that fit into a cache; two of its steps are kept, in the dtype of x.

    Each step is as large as the frozen weight: to write them all to memory and to read them again
    on the way back takes most of the time.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        difference, slope = (
            torch.empty(weight.shape, dtype=x.dtype, device=x.device) for _ in range(2)
        )
        for rows in _blocks(weight):
            grown, frozen = exp_softplus_less_one(u[rows] @ v), weight[rows]
            difference[rows] = grown.log().mul_(frozen)
            slope[rows] = grown.reciprocal_().mul_(-1 / math.e).add_(1).mul_(frozen)
        return nn.functional.linear(x, difference), difference, slope

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        x, _, u, v = inputs
        _, *steps = output
        ctx.mark_non_differentiable(*steps)
        ctx.set_materialize_grads(False)  # zeros for each step
        ctx.save_for_backward(x, u, v, *steps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, u, v, difference, slope = ctx.saved_tensors
        states, gradients = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        to_x = gradient @ difference if ctx.needs_input_grad[0] else None
        to_z = (gradients.T @ states).mul_(slope)
        to_u, to_v = to_z @ v.to(x.dtype).T, u.to(x.dtype).T @ to_z
        return to_x, None, to_u.to(u.dtype), to_v.to(v.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Any, Any]:
        """Take one candidate after the other: together they would not fit into a cache."""
        each = [
            [
                one if dim is None else one.select(dim, number)
                for one, dim in zip(inputs, in_dims, strict=True)
            ]
            for number in range(info.batch_size)
        ]
        made = torch.stack([_rescaled(*own) for own in each])
        return (made, made.new_empty(0), made.new_empty(0)), (0, None, None)


def _blocks(weight: Tensor) -> Iterator[slice]:
    """Return slices of rows of so many elements that they stay in a cache; all of them on a GPU."""
    fan_out, fan_in = weight.shape
    step = max(1, _CACHED // fan_in) if weight.device.type == "cpu" else fan_out
    return (slice(start, start + step) for start in range(0, fan_out, step))


DELTAS.register(DynamicLowRank)
