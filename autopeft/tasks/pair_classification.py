"""Two texts, and the class of their relation: entailment, paraphrase, answer or not."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.data.columns import ColumnProfile
from autopeft.tasks import TASKS, Columns, Fit, TaskInfo, classification
from autopeft.tasks.class_label import class_label
from autopeft.tasks.role import pair_of


def recognise(profiles: Sequence[ColumnProfile]) -> Fit | None:
    """Fit a column of classes and two text columns that belong together."""
    label = class_label(profiles)
    if label is None:
        return None
    texts = pair_of([column for column in profiles if column.name != label.names[0]])
    if texts is None:
        return None
    text, text_pair = texts.names
    return Fit(
        columns=Columns(text=text, text_pair=text_pair, label=label.names[0]),
        confidence=min(texts.confidence, label.confidence),
        reason=f"{label.reason}; {texts.reason}",
    )


TASKS.register(
    TaskInfo(
        name="pair-classification",
        description="two texts, and the class of their relation",
        metrics=classification.METRICS,
        auto_class="AutoModelForSequenceClassification",
        categorical=True,
        paired="always",
        recognise=recognise,
        model_options=classification.model_options,
        loss=classification.loss,
        predictions=classification.predictions,
    )
)
