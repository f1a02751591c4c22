"""Cloze: words around a gap, some of them trained, and the state at the gap for the head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta
from autopeft.deltas.soft_prompt import Prompt, words


class Cloze(Prompt):
    """[before; P; after]: words of the vocabulary with n trained vectors among them.

    One of the words is the model's own for a gap to fill.

    Paper: Wang et al. (2022), No More Fine-Tuning? An Experimental Evaluation of Prompt Tuning in
    Code Intelligence; the mixture of hard and soft words is that of Han et al. (2021), PTR.

    Shapes: embeddings of the text (B, S, width), mask (B, S), P (soft, width), the whole
    (tokens, width).
    Initialisation: P from embeddings of random words; the others are the vocabulary's own, frozen,
    and stored with it.
    Trained: soft·width.

    Args:
        vocabulary: the word embedding (V, width).
        tokens: length of the whole.
        soft: length of P.
        before: numbers of the words before P, with spaces between.
        after: numbers of the words after it.
    """

    name = "cloze"

    def __init__(
        self, vocabulary: Tensor, *, tokens: int, soft: int, before: str, after: str
    ) -> None:
        super().__init__()
        self.prompt = nn.Parameter(words(vocabulary, soft))
        self.before: Tensor
        self.after: Tensor
        self.register_buffer("before", _rows(vocabulary, before))
        self.register_buffer("after", _rows(vocabulary, after))
        assert len(self.before) + soft + len(self.after) == tokens

    def forward(self, text: Tensor, mask: Tensor | None) -> Tensor:
        del text, mask
        return torch.cat([self.before, self.prompt, self.after])


class AtMask(Delta):
    """Δh_0 = h_at − h_0: the head, which reads the first token, finds the state at the gap there.

    Paper: as `Cloze`.

    Shapes: h and Δh (B, S, width).
    Initialisation: nothing to initialise; Δh is not zero.
    Trained: nothing.
    """

    name = "at_mask"

    def __init__(self, fan_in: int, fan_out: int, *, at: int) -> None:
        super().__init__()
        assert fan_in == fan_out
        self.at = at

    def forward(self, h: Tensor) -> Tensor:
        moved = h[:, self.at : self.at + 1] - h[:, :1]
        return torch.cat([moved, torch.zeros_like(h[:, 1:])], dim=1)


def _rows(vocabulary: Tensor, numbers: str) -> Tensor:
    """Return copies in float32 of rows of an embedding, whose numbers are in a text."""
    chosen = torch.tensor([int(n) for n in numbers.split()], dtype=torch.long)
    return vocabulary.detach()[chosen.to(vocabulary.device)].float()


DELTAS.register(Cloze)
DELTAS.register(AtMask)
