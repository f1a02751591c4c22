"""What is said of a delivered model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autopeft.api.handover import write_card
from autopeft.delivery import About


@pytest.mark.parametrize(("fold", "said"), [(0, "9 training, 3 selection"), (1, "8 training, 4 s")])
def test_the_card_tells_the_rows_of_the_fold_that_was_trained_on(
    tmp_path: Path, fold: int, said: str
) -> None:
    folds = [
        SimpleNamespace(train=range(9), selection=range(3)),
        SimpleNamespace(train=range(8), selection=range(4)),
    ]
    prepared: Any = SimpleNamespace(
        problem=SimpleNamespace(metric="accuracy"),
        train=folds[0].train,
        selection=folds[0].selection,
        test=range(2),
        folds=folds,
    )
    about = About(
        model="me/bert",
        task="text-classification",
        labels=("bad", "good"),
        text="text",
        text_pair=None,
        max_length=32,
        method="lora",
    )
    write_card(
        tmp_path,
        about,
        prepared,
        title="reviews",
        candidate="lora",
        reason="It is small.",
        selection_score=0.75,
        test_scores={"accuracy": 0.5},
        trainable_params=8,
        head_params=2,
        fold=fold,
    )
    assert f"Data: {said}" in (tmp_path / "README.md").read_text(encoding="utf-8")
