"""Outputs of models on a split, in the split's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from autopeft.backbone.mode import evaluating
from autopeft.train.batches import collate, evaluation_rows, on_device
from autopeft.train.padding import Padding
from autopeft.train.runner import Runner
from autopeft.train.shortage import is_out_of_memory, release

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

MAX_TOKENS = {"cpu": 2048, "cuda": 32_768}
"""Padded tokens per batch that is evaluated, by device: a GPU is idle on as few as a processor."""


def most_tokens(device: torch.device) -> int:
    """Return how many padded tokens are evaluated at once."""
    return MAX_TOKENS.get(device.type, MAX_TOKENS["cpu"])


def outputs(
    model: torch.nn.Module,
    encoded: Encoded,
    *,
    padding: Padding,
    device: torch.device,
    max_tokens: int | None = None,
) -> np.ndarray:
    """Return the logits (N, C) in float32, rows as in `encoded`.

    Args:
        model: its mode is restored afterwards.
        encoded: N tokenised rows.
        padding: makes rows equally long.
        device: where the model lives.
        max_tokens: padded tokens per batch, None for `most_tokens`; halved for as long as memory
            runs out.
    """
    alone: np.ndarray = pack_outputs(
        Runner(model), encoded, padding=padding, device=device, max_tokens=max_tokens
    )[0]
    return alone


def pack_outputs(
    runner: Runner,
    encoded: Encoded,
    *,
    padding: Padding,
    device: torch.device,
    split: str = "selection",
    max_tokens: int | None = None,
) -> np.ndarray:
    """Return the logits (n, N, C) in float32 of n candidates on a split.

    Args:
        runner: of the candidates; their mode is restored afterwards.
        encoded: N tokenised rows.
        padding: makes rows equally long.
        device: where the models live.
        split: the name under which its states are recycled.
        max_tokens: as `outputs`, of all candidates together.
    """
    at_once = max_tokens or most_tokens(device)
    with evaluating(runner.model):
        while True:
            try:
                return _outputs(runner, encoded, padding, device, split, at_once)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or at_once <= int(encoded.lengths.max()):
                    raise
            at_once //= 2
            release(device)


@torch.inference_mode()
def _outputs(
    runner: Runner,
    encoded: Encoded,
    padding: Padding,
    device: torch.device,
    split: str,
    max_tokens: int,
) -> np.ndarray:
    pieces, order = [], []
    for rows in evaluation_rows(encoded.lengths, max_tokens=max(1, max_tokens // runner.size)):
        batch = on_device(collate(encoded, rows, padding), device)
        pieces.append(runner(batch, split).float())
        order.append(rows)
    result = torch.cat(pieces, dim=1).cpu().numpy()
    restored = np.empty_like(result)
    restored[:, np.concatenate(order)] = result
    return restored
