"""Soft prompt: trained vectors among the embeddings of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Prompt(Delta):
    """Vectors that stand among the embeddings of a text, made from the table of those."""

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        assert isinstance(base, nn.Embedding)
        return cls(base.weight, **part.settings)


class SoftPrompt(Prompt):
    """n vectors that the model reads as if they were words: the same ones for every input.

    Paper: Lester et al. (2021), The Power of Scale for Parameter-Efficient Prompt Tuning.

    Shapes: embeddings of the text (B, S, width), mask (B, S) with 1 for real tokens, the prompt
    (tokens, width).
    Initialisation: embeddings of words drawn from the vocabulary, as the paper advises.
    Trained: tokens·width.
    """

    name = "soft_prompt"

    def __init__(self, vocabulary: Tensor, *, tokens: int) -> None:
        super().__init__()
        self.prompt = nn.Parameter(words(vocabulary, tokens))

    def forward(self, text: Tensor, mask: Tensor | None) -> Tensor:
        del text, mask
        return self.prompt


def words(vocabulary: Tensor, tokens: int) -> Tensor:
    """Return copies in float32 of `tokens` rows of an embedding (V, width), drawn at random."""
    drawn = torch.randint(len(vocabulary), (tokens,), device=vocabulary.device)
    return vocabulary.detach()[drawn].float()


DELTAS.register(SoftPrompt)
