"""What the layers of an adapted model pass to each other during one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from autopeft.tuner.prompt import Room, widened

_MASKS = {"attention_mask": "encoder", "decoder_attention_mask": "decoder"}
_DECODER_INPUTS = ("decoder_input_ids", "decoder_inputs_embeds")

Prefix = tuple[Tensor, ...]
"""Keys and values (tokens, kv_width), or of n candidates (n, tokens, kv_width) for a batch of n
equal shares; then perhaps a gate (B, 1, 1). A gate of exactly 0 hides the prefix."""


@dataclass(slots=True)
class Call:
    """One forward pass. All layers and the attention of a model hold the same object.

    The mask stays until the next pass begins, because gradient checkpointing runs layers again on
    the way back; so with checkpointing, a pass goes back before the next one begins.

    Attributes:
        two_sided: whether the model has an encoder and a decoder.
        masks: by ``"encoder"`` and ``"decoder"``, real tokens (B, S); missing where all are real.
        inputs: by module, the input that later parts read.
        prefixes: by attention module, what stands before the keys and values of the text.
        room: where the soft prompt stands in the sequence; None without one, and between passes.
        rows: examples of the batch; of a pack, those of all members together.
        generators: each candidate's own, that dropout is drawn from; empty for torch's.
    """

    two_sided: bool = True
    masks: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    prefixes: dict[str, list[Prefix]] = field(default_factory=dict)
    room: Room | None = None
    rows: int = 0
    generators: Sequence[torch.Generator] = ()

    @contextmanager
    def passing(
        self, inputs: Mapping[str, Any], room: Room | None, pad_token: int | None
    ) -> Iterator[dict[str, Any]]:
        """Open the call for one pass and yield the model's inputs, with room for a prompt.

        Args:
            inputs: of the model, by keyword.
            room: where the prompt of the pass stands; None without one.
            pad_token: the number of the token that pads.

        Raises:
            ValueError: the inputs leave no room for a prompt.
        """
        self.inputs.clear()
        self.prefixes.clear()
        wide = dict(inputs) if room is None else widened(inputs, room, pad_token)
        self.room, self.rows = room, _rows(wide)
        self.masks = _masks(wide, two_sided=self.two_sided)
        try:
            yield wide
        finally:
            self.inputs.clear()
            self.room = None

    def real(self, side: str, length: int) -> Tensor | None:
        """Return the real tokens (B, length) of a side, None where all are real.

        What a model pads itself, to whole windows, is not real; of a text that is written token by
        token, a pass reads the last.

        Args:
            side: ``"encoder"`` or ``"decoder"``.
            length: in tokens, of what is read.
        """
        mask = self.masks.get(side)
        if mask is None or mask.shape[1] == length:
            return mask
        return nn.functional.pad(mask, (0, max(0, length - mask.shape[1])))[:, -length:]


def _rows(inputs: Mapping[str, Any]) -> int:
    """Return how many examples the inputs of a model hold, 0 without any."""
    batched = (v for v in inputs.values() if isinstance(v, Tensor) and v.dim() > 0)
    return next(map(len, batched), 0)


def _masks(inputs: Mapping[str, Any], *, two_sided: bool) -> dict[str, Tensor]:
    """Return the real tokens (B, S) of each side, as far as they are said.

    A classifier's decoder reads the encoder's tokens again, one step later; so what it reads up to
    the place of the last real token is real too. A model with one side has one mask, whatever its
    layers are called.
    """
    masks = {
        side: inputs[name]
        for name, side in _MASKS.items()
        if isinstance(inputs.get(name), Tensor) and inputs[name].dim() == 2
    }
    labels = inputs.get("labels")
    to_write = labels is not None and labels.dim() == 2 and not labels.is_floating_point()
    own = to_write or any(inputs.get(name) is not None for name in _DECODER_INPUTS)
    if "encoder" in masks and not (two_sided and own):
        masks.setdefault("decoder", masks["encoder"])
    return masks
