"""Outputs of a model on a split, in the split's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from autopeft.train.batches import collate, evaluation_rows
from autopeft.train.shortage import is_out_of_memory, release

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

_MAX_TOKENS = 4096


def outputs(
    model: torch.nn.Module,
    encoded: Encoded,
    *,
    pad_token: int,
    device: torch.device,
    max_tokens: int = _MAX_TOKENS,
) -> np.ndarray:
    """Return the logits (N, C) in float32, rows as in `encoded`.

    Args:
        model: its mode is restored afterwards.
        encoded: N tokenised rows.
        pad_token: fills the padding.
        device: where the model lives.
        max_tokens: padded tokens per batch; halved for as long as memory runs out.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        while True:
            try:
                return _outputs(model, encoded, pad_token, device, max_tokens)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or max_tokens <= int(encoded.lengths.max()):
                    raise
            max_tokens //= 2
            release(device)
    finally:
        for module, mode in modes:
            module.training = mode


@torch.inference_mode()
def _outputs(
    model: torch.nn.Module,
    encoded: Encoded,
    pad_token: int,
    device: torch.device,
    max_tokens: int,
) -> np.ndarray:
    pieces, order = [], []
    for rows in evaluation_rows(encoded.lengths, max_tokens=max_tokens):
        batch = collate(encoded, rows, pad_token)
        del batch["targets"]
        logits = model(**{name: value.to(device) for name, value in batch.items()}).logits
        pieces.append(logits.float())
        order.append(rows)
    result = torch.cat(pieces).cpu().numpy()
    restored = np.empty_like(result)
    restored[np.concatenate(order)] = result
    return restored
