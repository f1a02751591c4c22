"""What made-up cells of a task with two classes share."""

from __future__ import annotations

from typing import Any

import numpy as np

from autopeft.bench.rows import packed

TARGETS = np.array([0] * 6 + [1] * 4)
AT = {
    "versions": {"autopeft": "1"},
    "hardware": {"processor": "made up", "cores": 2, "gpu": None},
    "date": "2026-01-01T00:00:00+00:00",
}


def about(task: str) -> dict[str, Any]:
    """Return the first line of a file of cells."""
    return {
        "task": task,
        "problem": "text-classification",
        "metric": "accuracy",
        "labels": ["no", "yes"],
        "max_length": 128,
        "rows": {"train": 1_000, "selection": 10, "test": 10},
        "targets": {split: packed(TARGETS) for split in ("selection", "test")},
    }
