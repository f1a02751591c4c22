"""One part in action: the same code for a candidate alone and for one of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.deltas.delta import Delta, precision
from autopeft.deltas.gate import Gate
from autopeft.tuner.prompt import Room

_SHARES = 1 << 16
"""Values of 16 bits: dropout is drawn to such a share."""


class Actor(nn.Module):
    """A part's delta, with its gate and the weights that it shares with others.

    Never in the tree of a model, which lists those modules where they belong. Keeps nothing and
    draws nothing while it acts, so that `torch.func` can take the weights of many candidates at
    once.

    Args:
        part: what it is.
        delta: of the part.
        gate: its own or a shared one; None without.
        shared: the weights of `Part.shares`; None without.
    """

    def __init__(
        self, part: Part, delta: Delta, gate: Gate | None, shared: nn.Module | None
    ) -> None:
        super().__init__()
        self.part, self.delta, self.gate, self.shared = part, delta, gate, shared

    def forward(
        self,
        h: Tensor,
        gate_h: Tensor,
        output: Tensor | None = None,
        *,
        kept: Tensor | None = None,
        mask: Tensor | None = None,
        weight: Tensor | None = None,
        room: Room | None = None,
    ) -> Any:
        """Return what the part makes, for `put`.

        Args:
            h: what the delta reads (B, …); of a prompt, the embeddings that it is put among.
            gate_h: what the gate reads.
            output: of the frozen module, for a delta that reads it beside `h`.
            kept: factors of dropout, as `kept` draws them for `h`; None to drop nothing.
            mask: real tokens (B, S); None where all are real.
            weight: of the frozen module, for a delta that reads it.
            room: where a prompt stands.

        Returns:
            A change of a state; the embeddings of a prompt, (tokens, width) or (B, …); of a prefix,
            keys and values (tokens, kv_width) and, with a gate, its value (B, 1, 1).
        """
        gate = () if self.gate is None else (self.gate(gate_h, mask),)
        if self.part.changes == "attention":
            return (*self.delta(), *gate)
        if self.part.changes == "prompt":
            assert room is not None
            real = None if mask is None else room.narrow(mask)
            return self.delta(room.narrow(h).to(precision(self.delta)), real)
        h = h if self.delta.low_precision else h.to(precision(self.delta))
        extra: dict[str, Any] = {} if self.shared is None else {"shared": self.shared}
        if self.delta.reads_weight:
            extra["weight"] = weight
        if self.delta.reads_output:
            assert output is not None
            extra["output"] = output if self.delta.low_precision else output.to(h.dtype)
        if self.delta.reads_mask:
            extra["mask"] = mask
        change = self.delta(h if kept is None else h * kept, **extra)
        return gate[0].to(change.dtype) * change if gate else change

    def put(self, made: Tensor, target: Tensor, room: Room | None) -> Tensor:
        """Return the state `target` (B, …), in its dtype, with what the part makes of it."""
        if self.part.changes != "prompt":
            return target + made.to(target.dtype)
        assert room is not None
        return room.fill(target, made)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return a projection's weight and bias with the part folded in, see `Delta.folded`."""
        delta: Any = self.delta
        extra = {} if self.shared is None else {"shared": self.shared}
        folded: tuple[Tensor, Tensor | None] = delta.folded(weight, bias, **extra)
        return folded

    def kept(self, h: Tensor, generators: Sequence[torch.Generator]) -> Tensor | None:
        """Draw the factors of dropout for what the delta reads, None without dropout.

        Args:
            h: what it reads.
            generators: the candidate's own; empty for torch's.
        """
        generator = generators[0] if generators else None
        return self.drawn(h.shape, h, generator)

    def drawn(
        self, shape: torch.Size, h: Tensor, generator: torch.Generator | None
    ) -> Tensor | None:
        """Return a factor of dropout for each number of a shape: 0, or what makes up for it.

        Of 64 random bits four numbers get 16 each, so they are dropped in multiples of 1/65,536.
        A draw for each would take longer than the product that follows.

        Args:
            shape: of what the delta reads.
            h: tells where it is read, and in which precision.
            generator: the candidate's own; None for torch's.
        """
        if not self.part.dropout:
            return None
        dropped, count = round(self.part.dropout * _SHARES), shape.numel()
        bits = torch.empty(-(-count // 4), dtype=torch.int64, device=h.device)
        numbers = bits.random_(-(2**63), None, generator=generator).view(torch.int16)
        kept = numbers[:count].view(shape) >= dropped - _SHARES // 2
        dtype = h.dtype if self.delta.low_precision else torch.float32
        return kept.to(dtype).mul_(_SHARES / (_SHARES - dropped))
