"""Room for a soft prompt in the input.

The input gets as many tokens more as the prompt is long, of any word but padding, and the layer at
the word embedding puts the prompt where theirs would be. So whatever else a model does with its
tokens stays as it is: it counts positions, tells padding from text, and finds the last token of a
text, which the classifier of a decoder reads. That of an encoder reads the first token, so there
the prompt comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopeft.backbone.token import is_decoder
from autopeft.deltas import Part

_ALIKE = {"attention_mask": 1, "token_type_ids": 0}
"""What is as long as the text, and its value for the tokens of a prompt."""

_FILLERS = (2, 3)
"""Stand where the prompt will; not 0 or 1, which some models take for padding whatever they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where in a sequence a prompt stands.

    Args:
        start: tokens of the text before it.
        tokens: its length.
    """

    start: int
    tokens: int

    def widen(self, sequence: Tensor, value: int) -> Tensor:
        """Return a sequence (B, S) with the prompt's tokens (B, S + tokens), all of one value."""
        extra = sequence.new_full((sequence.shape[0], self.tokens), value)
        return torch.cat([sequence[:, : self.start], extra, sequence[:, self.start :]], dim=1)

    def narrow(self, sequence: Tensor) -> Tensor:
        """Return a sequence (B, S + tokens, …) without the prompt's tokens."""
        end = self.start + self.tokens
        return torch.cat([sequence[:, : self.start], sequence[:, end:]], dim=1)

    def fill(self, embeddings: Tensor, prompt: Tensor) -> Tensor:
        """Return embeddings (B, S + tokens, width) with a prompt (tokens, width) or (B, …)."""
        end = self.start + self.tokens
        prompt = prompt.to(embeddings.dtype).expand(embeddings.shape[0], -1, -1)
        return torch.cat([embeddings[:, : self.start], prompt, embeddings[:, end:]], dim=1)


def room_for(parts: Sequence[Part], config: Any) -> Room | None:
    """Return the room that an adapter's prompt needs, None if it has none.

    Args:
        parts: of the adapter; one prompt at most.
        config: of the model.
    """
    prompts = [part for part in parts if part.changes == "prompt"]
    if not prompts:
        return None
    (part,) = prompts
    return Room(start=0 if is_decoder(config) else 1, tokens=int(part.settings["tokens"]))


def widened(inputs: Mapping[str, Any], room: Room, pad_token: int | None) -> dict[str, Any]:
    """Return a model's inputs with room for a prompt.

    Args:
        inputs: by keyword.
        room: of the prompt.
        pad_token: the number of the token that pads.

    Raises:
        ValueError: the inputs hold no token numbers, or something whose length would no longer fit.
    """
    if not isinstance(inputs.get("input_ids"), Tensor):
        raise ValueError("a model with a soft prompt takes input_ids, by keyword")
    for name in ("inputs_embeds", "position_ids", "past_key_values"):
        if inputs.get(name) is not None:
            raise ValueError(f"a model with a soft prompt takes no {name}")
    ids = room.widen(inputs["input_ids"], next(i for i in _FILLERS if i != pad_token))
    wider = {**inputs, "input_ids": ids}
    for name, value in _ALIKE.items():
        if isinstance(inputs.get(name), Tensor):
            wider[name] = room.widen(inputs[name], value)
    return wider
