"""A toy that any model can learn: which word is in a text, or which half of an image is lit?"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopeft.backbone.image import reads_images

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from autopeft.backbone.load import Backbone

LONGEST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """One batch of short texts of many lengths, or of images.

    Args:
        inputs: what the model takes; texts are padded to the longest.
        padded: the same texts with more padding; None for images, which have none.
        labels: 0 or 1, half of each.
    """

    inputs: dict[str, torch.Tensor]
    padded: dict[str, torch.Tensor] | None
    labels: torch.Tensor


def toy_for(backbone: Backbone) -> Toy:
    """Return the toy that a backbone can read."""
    if reads_images(backbone.auto_class):
        config = backbone.model.config
        return make_images(channels=config.num_channels, width=config.image_size)
    return make_toy(backbone.tokenizer)


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


def make_images(*, channels: int, width: int, size: int = 32, seed: int = 0) -> Toy:
    """Return a batch of `size` square images of noise, the upper or the lower half of them lit."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randn(size, channels, width, width, generator=draw)
    labels = torch.arange(size) % 2
    pixels[labels == 0, :, : width // 2] += 1.0
    pixels[labels == 1, :, width // 2 :] += 1.0
    return Toy(inputs={"pixel_values": pixels}, padded=None, labels=labels)
