"""Verbaliser: what the model itself would write in the gap, as scores of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from autopeft.deltas import DELTAS
from autopeft.deltas.delta import Delta

if TYPE_CHECKING:
    from autopeft.deltas import Part
    from autopeft.records import Scalar

TENSORS = ("dense", "dense_bias", "norm", "norm_bias", "answers", "answers_bias")
SOURCE = ("checkpoint", "words")
"""Settings of a part that say where its values come from, see `autopeft.tuner.answer`."""


class Verbaliser(Delta):
    """Δlogits = W norm(f(D h_at + d)) + b: the pretrained head for masked words, frozen.

    W and b are rows of the words that stand for each class; several words of a class score their
    mean. Added to the logits of the trained head, they let it start from the model's own answer.

    Paper: Schick & Schütze (2021), Exploiting Cloze Questions for Few Shot Text Classification and
    Natural Language Inference.

    Shapes: h (B, S, width), D (inner, width), W (classes, inner), Δlogits (B, classes).
    Initialisation: 0; the tuner or an artifact brings the checkpoint's, see
    `autopeft.tuner.answer`.
    Trained: nothing. All of it is stored, as the backbone does not hold it.

    Args:
        width: of h.
        at: the gap's place in the sequence.
        classes: number of classes.
        inner: width of the head.
        activation: transformers' name of f.
        eps: of the norm.
    """

    name = "verbaliser"

    def __init__(
        self, width: int, *, at: int, classes: int, inner: int, activation: str, eps: float
    ) -> None:
        super().__init__()
        self.at, self.activation, self.eps = at, activation, eps
        shapes = ((inner, width), (inner,), (inner,), (inner,), (classes, inner), (classes,))
        for name, shape in zip(TENSORS, shapes, strict=True):
            self.register_buffer(name, torch.zeros(shape))

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        del base
        return cls(part.fan_in, **cls.settled(part.settings))  # type: ignore[arg-type]

    @staticmethod
    def settled(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return the settings under which an artifact, which holds the words' rows, is loaded."""
        return {name: value for name, value in settings.items() if name not in SOURCE}

    def forward(self, h: Tensor) -> Tensor:
        dense, dense_bias, norm, norm_bias, answers, bias = map(self.get_buffer, TENSORS)
        inner = ACT2FN[self.activation](nn.functional.linear(h[:, self.at], dense, dense_bias))
        normed = nn.functional.layer_norm(inner, norm.shape, norm, norm_bias, self.eps)
        return nn.functional.linear(normed, answers, bias)


DELTAS.register(Verbaliser)
