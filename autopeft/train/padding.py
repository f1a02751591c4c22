"""How the rows of a batch are made equally long.

A processor's bf16 products are done by oneDNN, which generates code for every shape it meets and
keeps that of the last thousand. Packs of different methods have more shapes than that once each
length of text makes its own, and then generating takes longer than computing. So lengths are
rounded up there; on short texts, whose lengths are few, padding would cost more than it saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_FEW = 16
_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class Padding:
    """What a batch is padded with, on the right, and to which length.

    Args:
        token: fills the padding.
        rounded: whether lengths above 16 tokens are multiples of eight.
    """

    token: int
    rounded: bool = False

    @classmethod
    def of(cls, tokenizer: Any, model: torch.nn.Module) -> Padding:
        """Return how batches for a model are padded.

        Args:
            tokenizer: of transformers.
            model: its parameters tell where, and with which precision, it computes.
        """
        weight = next(model.parameters())
        rounded = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
        return cls(int(tokenizer.pad_token_id), rounded)

    def length(self, lengths: np.ndarray, rows: np.ndarray) -> int:
        """Return the length of a batch in tokens, at most that of the longest row of the split.

        Args:
            lengths: (N,), of all rows of the split.
            rows: (B,), those of the batch.

        >>> lengths = np.array([9, 17, 24, 60, 62])
        >>> [Padding(0, rounded=True).length(lengths, row) for row in np.arange(4)[:, None]]
        [9, 24, 24, 62]
        """
        longest = max(1, int(lengths[rows].max()))  # a text may have no token
        if not self.rounded or longest <= _FEW:
            return longest
        return min(-(-longest // _MULTIPLE) * _MULTIPLE, int(lengths.max()))
