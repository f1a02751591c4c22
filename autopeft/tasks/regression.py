"""One text or two, and a number: a rating, a similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autopeft.data.columns import ColumnProfile
from autopeft.tasks import TASKS, Columns, Fit, TaskInfo
from autopeft.tasks.class_label import MAX_INTEGER_CLASSES, repeats
from autopeft.tasks.role import label_of, pair_of, text_of

if TYPE_CHECKING:
    import torch


def recognise(profiles: Sequence[ColumnProfile]) -> Fit | None:
    """Fit a column of numbers and one text column, or two that belong together."""
    label = label_of(profiles, ("number", "integer")) or label_of(profiles, ("number",))
    if label is None:
        return None
    column = next(column for column in profiles if column.name == label.names[0])
    confidence = label.confidence
    if column.kind == "integer":
        many = column.distinct > MAX_INTEGER_CLASSES
        # Many that come again and again may be classes that were numbered.
        confidence *= (0.6 if repeats(column) else 0.8) if many else 0.4
    others = [other for other in profiles if other.name != column.name]
    texts = pair_of(others) or text_of(others)
    if texts is None:
        return None
    pair = texts.names[1] if len(texts.names) == 2 else None
    what = "numbers with fractions" if column.kind == "number" else "whole numbers"
    return Fit(
        columns=Columns(text=texts.names[0], text_pair=pair, label=column.name),
        confidence=min(texts.confidence, confidence),
        reason=f"{label.reason} ({what}, {column.distinct} different); {texts.reason}",
    )


def model_options(_labels: Sequence[str]) -> dict[str, Any]:
    """Return the head's keyword arguments: one output."""
    return {"num_labels": 1, "problem_type": "regression"}


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of outputs (B, 1) for numbers (B,)."""
    from torch.nn import functional

    return functional.mse_loss(logits.float().squeeze(-1), targets.float())


def predictions(outputs: np.ndarray) -> np.ndarray:
    """Return the numbers (N,) of outputs (N, 1)."""
    return np.asarray(outputs[:, 0])


TASKS.register(
    TaskInfo(
        name="regression",
        description="one text or two, and a number",
        metrics=("pearson", "spearman", "rmse"),
        auto_class="AutoModelForSequenceClassification",
        categorical=False,
        paired="optional",
        recognise=recognise,
        model_options=model_options,
        loss=loss,
        predictions=predictions,
    )
)
