"""A toy that any model can learn: which of two words does a text contain?"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LONGEST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """One batch of short texts of many lengths.

    Args:
        inputs: padded to the longest text.
        padded: the same texts with more padding.
        labels: 0 or 1, half of each.
    """

    inputs: dict[str, torch.Tensor]
    padded: dict[str, torch.Tensor]
    labels: torch.Tensor


def make_toy(tokenizer: PreTrainedTokenizerBase, *, size: int = 32, seed: int = 0) -> Toy:
    """Return a batch of `size` texts, made of words from the tokenizer's own vocabulary."""
    import torch

    draw = random.Random(seed)
    words = [word for word in sorted(tokenizer.get_vocab()) if word.isascii() and word.isalnum()]
    telling, others = words[:2], words[2:102]
    texts = []
    for index in range(size):
        text = draw.choices(others, k=draw.randrange(2, 9))
        text.insert(draw.randrange(len(text) + 1), telling[index % 2])
        texts.append(" ".join(text))
    return Toy(
        inputs=dict(tokenizer(texts, padding=True, return_tensors="pt")),
        padded=dict(
            tokenizer(texts, padding="max_length", max_length=LONGEST, return_tensors="pt")
        ),
        labels=torch.arange(size) % 2,
    )
