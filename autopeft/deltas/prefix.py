"""Prefix: trained keys and values before those of the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Prefix(Delta):
    """Attention over [P_k; K] and [P_v; V]: every query also sees n trained positions.

    Paper: Li & Liang (2021), Prefix-Tuning: Optimizing Continuous Prompts for Generation. He et al.
    (2022) show that this is a gated change of the attention's output. A gate scales both keys and
    values, and at exactly 0 hides the prefix (Mao et al., 2022).

    With `inner` above 0 keys and values are made by an MLP from an embedding while training
    (re-parametrisation): E (n, kv_width) → tanh, inner → keys and values. Only what it makes is
    kept, see `settled`.

    Shapes: keys and values (n, kv_width), for all key-value heads together.
    Initialisation: normal, of spread 0.02.
    Trained: 2·n·kv_width; with `inner`, n·kv_width + (kv_width + 1)·inner + (inner + 1)·2·kv_width.
    """

    name = "prefix"

    def __init__(self, kv_width: int, *, tokens: int, inner: int = 0) -> None:
        super().__init__()
        self._shape = (tokens, kv_width)
        if inner == 0:
            self.keys = nn.Parameter(torch.randn(tokens, kv_width) * 0.02)
            self.values = nn.Parameter(torch.randn(tokens, kv_width) * 0.02)
        else:
            self.embedding = nn.Parameter(torch.randn(tokens, kv_width))
            self.down = nn.Linear(kv_width, inner)
            self.up = nn.Linear(inner, 2 * kv_width)
        self._inner = inner

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del base
        return cls(part.fan_out, **part.settings)  # type: ignore[arg-type]

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return keys and values (n, kv_width)."""
        if self._inner == 0:
            return self.keys, self.values
        keys, values = self.up(torch.tanh(self.down(self.embedding))).chunk(2, dim=-1)
        return keys, values

    def settled(self) -> dict[str, Tensor]:
        """Return the weights of a prefix without re-parametrisation that does the same."""
        keys, values = self()
        return {"keys": keys.detach(), "values": values.detach()}


DELTAS.register(Prefix)
