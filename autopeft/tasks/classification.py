"""What text and pair classification share: head options, cross-entropy and the largest logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

METRICS = ("accuracy", "macro-f1", "mcc")


def model_options(labels: Sequence[str]) -> dict[str, Any]:
    """Return the head's keyword arguments for these class names."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: place for place, name in enumerate(labels)},
        "problem_type": "single_label_classification",
    }


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of logits (B, C) for class numbers (B,)."""
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), targets.long())


def predictions(outputs: np.ndarray) -> np.ndarray:
    """Return the class (N,) with the largest output (N, C)."""
    return np.asarray(outputs.argmax(axis=1))
