"""Mixed prompt: a trained prompt plus frozen ones of other tasks, weighed for each input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from autopeft.deltas import DELTAS
from autopeft.deltas.soft_prompt import Prompt, words
from autopeft.deltas.source import PROMPT, source_files

if TYPE_CHECKING:
    from autopeft.records import Scalar


class MixedPrompt(Prompt):
    """P = P_t + Σ_j a_j P_j, with a = softmax_j(max(P_j) · g / (e·width)).

    Max-pooled over real tokens to x, the input's embeddings ask with
    g = LayerNorm(W_up SiLU(W_down x)); max-pooled over its tokens, each source P_j answers.

    Paper: Asai et al. (2022), ATTEMPT: Parameter-Efficient Multi-task Tuning via Attentional
    Mixtures of Soft Prompts.

    Shapes: embeddings of the text (B, S, width), mask (B, S) with 1 for real tokens, the sources
    (count, tokens, width), P (B, tokens, width).
    Initialisation: P_t from embeddings of random words, W_down and W_up as `nn.Linear`; the
    sources from their folder, or 0 where an artifact brings them.
    Trained: tokens·width + 2·inner·width + 2·width. The sources are frozen, and stored with it.

    Args:
        vocabulary: the word embedding (V, width).
        tokens: length of each prompt.
        count: number of sources.
        inner: width between W_down and W_up.
        folder: where the sources lie; ``""`` if they come with an artifact.

    Raises:
        ValueError: the folder does not hold `count` prompts of this length and width.
    """

    name = "mixed_prompt"

    def __init__(
        self, vocabulary: Tensor, *, tokens: int, count: int, inner: int, folder: str = ""
    ) -> None:
        super().__init__()
        width = vocabulary.shape[1]
        self.prompt = nn.Parameter(words(vocabulary, tokens))
        self.down = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(inner, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.sources: Tensor
        self.register_buffer("sources", torch.zeros(count, tokens, width))
        if folder:
            self.sources.copy_(_read(Path(folder), self.sources.shape))

    @staticmethod
    def settled(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return the settings under which an artifact, which holds the sources, is loaded."""
        return {name: value for name, value in settings.items() if name != "folder"}

    def weights(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return a (B, count): how much of each source an input gets."""
        if mask is not None:
            text = text.masked_fill(mask[:, :, None] == 0, torch.finfo(text.dtype).min)
        asked = self.norm(self.up(nn.functional.silu(self.down(text.amax(dim=1)))))
        scores = asked @ self.sources.amax(dim=1).T
        shares: Tensor = (scores / (math.e * text.shape[-1])).softmax(dim=-1)
        return shares

    def forward(self, text: Tensor, mask: Tensor | None) -> Tensor:
        return self.prompt + torch.einsum("bj,jtd->btd", self.weights(text, mask), self.sources)


def _read(folder: Path, shape: torch.Size) -> Tensor:
    from safetensors.torch import load_file

    found = [load_file(file)[PROMPT] for file in source_files(folder)]
    if len(found) != shape[0] or any(prompt.shape != shape[1:] for prompt in found):
        raise ValueError(f"{folder} no longer holds {shape[0]} prompts of shape {tuple(shape[1:])}")
    return torch.stack(found)


DELTAS.register(MixedPrompt)
