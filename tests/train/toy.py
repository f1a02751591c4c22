"""Small data that a tiny model learns in a few steps, encoded or saved as a worker finds it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from datasets import Dataset

from autopeft.tasks.encode import Encoded, encode
from tests.tiny import WORDS, tiny_tokenizer

PLAN = {
    "dtype": "float32",
    "attention": "eager",
    "seconds_per_step": 0.01,
    "seconds_per_token": 1e-4,
}


def texts(rows: int, *, seed: int = 0, longest: int = 8) -> tuple[list[str], list[int]]:
    """Return texts of several lengths and which of two words each contains, half of each."""
    draw = random.Random(seed)
    found = []
    for row in range(rows):
        words = draw.choices(WORDS[2:], k=draw.randrange(2, longest))
        words.insert(draw.randrange(len(words) + 1), WORDS[row % 2])
        found.append(" ".join(words))
    return found, [row % 2 for row in range(rows)]


def table(rows: int, *, seed: int = 0, numbers: tuple[float, float] | None = None) -> Dataset:
    """Return rows as `autopeft.tasks.prepare` leaves them.

    Args:
        rows: how many.
        seed: of the texts.
        numbers: makes the label a number around this mean with this spread.
    """
    words, labels = texts(rows, seed=seed)
    targets: list[Any] = list(labels)
    if numbers is not None:
        draw = random.Random(seed + 1)
        mean, spread = numbers
        targets = [mean + spread * (2 * y - 1 + 0.1 * draw.random()) for y in labels]
    return Dataset.from_dict({"text": words, "label": targets, "row": list(range(rows))})


def encoded(rows: int, *, seed: int = 0, numbers: tuple[float, float] | None = None) -> Encoded:
    """Return the same rows encoded for the tiny BERT."""
    return encode(table(rows, seed=seed, numbers=numbers), tiny_tokenizer("bert"), max_length=32)


def save_splits(
    folder: Path, *, rows: int = 48, numbers: tuple[float, float] | None = None
) -> Path:
    """Save the splits as a run folder holds them, except for a test split that nobody may read."""
    table(rows, seed=1, numbers=numbers).save_to_disk(str(folder / "train"))
    table(rows // 2, seed=2, numbers=numbers).save_to_disk(str(folder / "selection"))
    (folder / "test").mkdir()
    (folder / "test" / "state.json").write_text("a trap")
    return folder


def order(data: Path, model: Path, *, numeric: bool = False) -> dict[str, Any]:
    """Return the order that opens a session on saved splits."""
    return {
        "op": "open",
        "data": str(data),
        "model": str(model),
        "task": "regression" if numeric else "text-classification",
        "labels": [] if numeric else ["bad", "good"],
        "metric": "rmse" if numeric else "accuracy",
        "max_length": 32,
        "plan": PLAN,
        "threads": 1,
    }
