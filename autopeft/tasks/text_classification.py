"""One text, one of two or more classes."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.data.columns import ColumnProfile
from autopeft.tasks import TASKS, Columns, Fit, TaskInfo, classification
from autopeft.tasks.class_label import class_label
from autopeft.tasks.role import text_of


def recognise(profiles: Sequence[ColumnProfile]) -> Fit | None:
    """Fit a column of classes and one text column."""
    label = class_label(profiles)
    if label is None:
        return None
    text = text_of([column for column in profiles if column.name != label.names[0]])
    if text is None:
        return None
    return Fit(
        columns=Columns(text=text.names[0], text_pair=None, label=label.names[0]),
        confidence=min(text.confidence, label.confidence),
        reason=f"{label.reason}; {text.reason}",
    )


TASKS.register(
    TaskInfo(
        name="text-classification",
        description="one text, one of two or more classes",
        metrics=classification.METRICS,
        auto_class="AutoModelForSequenceClassification",
        categorical=True,
        paired="never",
        recognise=recognise,
        model_options=classification.model_options,
        loss=classification.loss,
        predictions=classification.predictions,
    )
)
