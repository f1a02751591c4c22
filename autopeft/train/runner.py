"""Passes batches through the models of one candidate or of a pack."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from autopeft.backbone.replay import Replay
from autopeft.train.batches import Batch, inputs_of
from autopeft.tuner import Pack

if TYPE_CHECKING:
    from autopeft.train.frozen import FrozenStates


class Runner:
    """One candidate's model, or a pack, with what is recycled of its lowest layers.

    Args:
        model: an adapted model, or a `Pack`; its lowest layers stay replaced until `close`.
        layers: how many of the lowest layers are replayed; 0 for none.
        frozen: by split, ``"train"`` or ``"selection"``, the states that leave those layers.

    Attributes:
        size: how many candidates a pass is for.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        layers: int = 0,
        frozen: Mapping[str, FrozenStates] | None = None,
    ) -> None:
        self.model = model
        self.size = model.size if isinstance(model, Pack) else 1
        self._frozen = frozen or {}
        self._restore = contextlib.ExitStack()
        self._replay = self._restore.enter_context(Replay(model, layers)) if layers else None

    def hold(self) -> None:
        """Keep the weights of a pack stacked until `close`; see `Pack.held`."""
        if isinstance(self.model, Pack):
            self._restore.enter_context(self.model.held())

    def close(self) -> None:
        """Put the model's own layers back."""
        self._restore.close()
        self._replay = None

    def __call__(self, batch: Batch, split: str = "") -> torch.Tensor:
        """Return the logits (n, B, C) of n candidates.

        Args:
            batch: of `autopeft.train.batches.on_device`.
            split: where it is from, so that its lowest layers can be replayed.
        """
        inputs = inputs_of(batch)
        frozen = self._frozen.get(split)
        if self._replay is not None and frozen is not None:
            ids = inputs["input_ids"]
            states = frozen.batch(batch["rows"].numpy(), ids.shape[1])
            self._replay.states = states.to(ids.device).repeat(self.size, 1, 1)
        if isinstance(self.model, Pack):
            logits: torch.Tensor = self.model(**inputs)
            return logits
        alone: torch.Tensor = self.model(**inputs).logits
        return alone[None]
