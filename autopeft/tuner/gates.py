"""What the gates of an adapted model say: read while it runs, without changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.tuner.layer import Deltas


@dataclass(frozen=True, slots=True, kw_only=True)
class GateMean:
    """One part's gate over examples.

    Args:
        part: the gated part.
        mean: of the gate over examples, in (0, 1).
        spread: standard deviation over examples: 0 for a gate that ignores its input.
    """

    part: Part
    mean: float
    spread: float


class GateReader:
    """Keeps what the gates of a model give, per example, while it is open; see `reading_gates`."""

    def __init__(self, model: nn.Module) -> None:
        self._gates = [
            (actor.part, actor.gate)
            for deltas in model.modules()
            if isinstance(deltas, Deltas)
            for actor in deltas.actors
            if actor.gate is not None
        ]
        self._values: dict[nn.Module, list[Tensor]] = {gate: [] for _, gate in self._gates}
        self._hooks = [gate.register_forward_hook(self._keep) for gate in self._values]

    def _keep(self, gate: nn.Module, _: Any, value: Tensor) -> None:
        self._values[gate].append(value.detach().flatten().float())

    def close(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def means(self) -> tuple[GateMean, ...]:
        """Return the mean and the spread of every gated part that ran, in the model's order.

        A shared gate's are those of all its parts. Empty for a model without gates.
        """
        found = []
        for part, gate in self._gates:
            if self._values[gate]:
                values = torch.cat(self._values[gate])
                spread = values.std(correction=0).item()
                found.append(GateMean(part=part, mean=values.mean().item(), spread=spread))
        return tuple(found)


@contextlib.contextmanager
def reading_gates(model: nn.Module) -> Iterator[GateReader]:
    """Yield a reader of all gates of a model; ask it for `means` after the passes."""
    reader = GateReader(model)
    try:
        yield reader
    finally:
        reader.close()
