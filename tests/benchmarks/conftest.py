"""A tiny problem for the benchmarks: texts that say good or bad."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Return a file of 120 made-up reviews."""
    rng = random.Random(0)
    file = tmp_path / "reviews.csv"
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        for number in range(120):
            words = [("good", "bad")[number % 2], *(f"w{rng.randrange(93)}" for _ in range(4))]
            writer.writerow([" ".join(words), ("positive", "negative")[number % 2]])
    return file


@pytest.fixture
def model(tiny_folder: Callable[[str], Path]) -> str:
    """Return the folder of a tiny BERT."""
    return str(tiny_folder("bert"))
