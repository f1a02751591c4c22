"""Bottleneck: Δh = s·W_up·f(W_down·h)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta, drawn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "swish": nn.functional.silu,
    "tanh": torch.tanh,
}


class Bottleneck(Delta):
    """Δh = s · (W_up f(W_down h + b_down) + b_up), of a width far below that of h.

    Paper: Houlsby et al. (2019), Parameter-Efficient Transfer Learning for NLP, for the form; He et
    al. (2022) for s and the initialisation.

    Shapes: h (…, fan_in), W_down (width, fan_in), W_up (fan_out, width), Δh (…, fan_out).
    Initialisation: W_down Kaiming-uniform(√5), W_up and both biases zero, so Δh = 0.
    Trained: width·(fan_in + fan_out + 1) + fan_out.
    """

    name = "bottleneck"
    low_precision = True

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        width: int,
        scale: float = 1.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.scale, self._activation = scale, ACTIVATIONS[activation]
        self.down = nn.Parameter(drawn(width, fan_in))
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(fan_out, width))
        self.up_bias = nn.Parameter(torch.zeros(fan_out))

    def forward(self, h: Tensor) -> Tensor:
        down, down_bias = self.down.to(h.dtype), self.down_bias.to(h.dtype)
        up, up_bias = (self.up * self.scale).to(h.dtype), (self.up_bias * self.scale).to(h.dtype)
        inner = self._activation(nn.functional.linear(h, down, down_bias))
        return nn.functional.linear(inner, up, up_bias)


DELTAS.register(Bottleneck)
