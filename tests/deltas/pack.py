"""Several deltas of one form in one pass, as packs of candidates run them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def packed(deltas: Sequence[nn.Module], inputs: Tensor, **extra: nn.Module | Tensor) -> Tensor:
    """Return the outputs of all deltas, each on its own inputs, through `torch.vmap`.

    Args:
        deltas: of one form and size.
        inputs: one tensor per delta, stacked.
        extra: keywords that all deltas take as they are.
    """
    state = torch.func.stack_module_state(list(deltas))

    def one(parameters: dict, buffers: dict, x: Tensor) -> Tensor:
        return torch.func.functional_call(deltas[0], (parameters, buffers), (x,), extra)

    return torch.vmap(one)(*state, inputs)


def randomised(delta: nn.Module, seed: int, spread: float = 0.3) -> nn.Module:
    """Return the delta with normal draws in the place of its parameters' values."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in delta.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * spread)
    return delta
