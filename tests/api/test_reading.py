"""Predictions of a finished run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from autopeft.api import reading
from autopeft.api.reading import read_predictions
from autopeft.errors import DataError


@pytest.fixture(autouse=True)
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that predicts how long a text is."""
    model = SimpleNamespace(
        about=SimpleNamespace(text="body", text_pair=None, task="regression", labels=()),
        outputs=lambda texts: np.array([[len(text)] for text in texts["text"]]),
    )
    monkeypatch.setattr(reading, "TunedModel", lambda *_, **__: model)


def test_predicting_leaves_the_users_folder_alone(tmp_path: Path) -> None:
    Dataset.from_dict({"body": ["a", None, "ccc"]}).save_to_disk(tmp_path / "saved")
    before = sorted(tmp_path.rglob("*"))
    rows = read_predictions(tmp_path, tmp_path / "saved")
    assert [row["prediction"] for row in rows] == [1.0, 0.0, 3.0]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_predicted_needs_no_train_split(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("body\na\nbb\n")
    (tmp_path / "test.csv").write_text("body\nccc\n")
    assert [row["prediction"] for row in read_predictions(tmp_path, tmp_path)] == [1.0, 2.0]
    one = DatasetDict({"test": Dataset.from_dict({"body": ["a", "ccc"]})})
    assert [row["prediction"] for row in read_predictions(tmp_path, one)] == [1.0, 3.0]


def test_no_split_to_predict_is_told(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"body": ["a"]})
    with pytest.raises(DataError, match="found nothing, but no test split; name one 'test'"):
        read_predictions(tmp_path, DatasetDict({"monday": rows, "tuesday": rows}))
