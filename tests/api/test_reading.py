"""Predictions of a finished run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

from autopeft.api import reading
from autopeft.api.reading import read_predictions


def test_predicting_leaves_the_users_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = SimpleNamespace(
        about=SimpleNamespace(text="body", text_pair=None, task="regression", labels=()),
        outputs=lambda texts: np.array([[len(text)] for text in texts["text"]]),
    )
    monkeypatch.setattr(reading, "TunedModel", lambda *_, **__: tuned)
    Dataset.from_dict({"body": ["a", None, "ccc"]}).save_to_disk(tmp_path / "saved")
    before = sorted(tmp_path.rglob("*"))
    rows = read_predictions(tmp_path, tmp_path / "saved")
    assert [row["prediction"] for row in rows] == [1.0, 0.0, 3.0]
    assert sorted(tmp_path.rglob("*")) == before
