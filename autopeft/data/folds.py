"""Folds: the same rows divided into training and selection in other ways.

Where selection is small, which rows are in it decides more than which seed a training has. So the
further seeds of finalists are trained and scored on other folds; they cost no more trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autopeft.data.split import View
from autopeft.data.strata import spread

if TYPE_CHECKING:
    from datasets import Dataset

SMALL = 500
"""Fewer selection rows than this leave more to chance than further seeds can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One way to divide the rows that are not for testing."""

    train: Dataset
    selection: Dataset


def folds(
    train: Dataset, selection: Dataset, *, strata: str | None, seed: int, inputs: Sequence[str]
) -> list[Fold]:
    """Return the rows as they are divided, then folds that select by each training row once.

    Rows with the same input stay together; those of a class that training would lose stay in
    training.

    Args:
        train: as it is.
        selection: as it is, carved out of the same data; every fold's has about its size.
        strata: column of classes or of floats to stratify by.
        seed: of the random choice.
        inputs: the columns a model sees.
    """
    from datasets import concatenate_datasets

    view = View.of(train, strata, inputs)
    first, group = view.groups()
    count = max(1, round(len(train) / max(1, len(selection))))
    dealt = spread(view.strata(first, group), count, np.random.default_rng([seed, 1]))
    found = [Fold(train=train, selection=selection)]
    for number in range(count):
        held = np.flatnonzero(view.lasting(dealt == number, group)[group])
        if len(held) and len(held) < len(train):
            kept = np.setdiff1d(np.arange(len(train)), held)
            rest = concatenate_datasets([train.select(kept), selection])
            found.append(Fold(train=rest, selection=train.select(held)))
    return found


def fold_of(shift: int, count: int) -> int:
    """Return the fold of the training that came so many seeds after a candidate's first.

    Args:
        shift: 0 for the training of the search itself.
        count: of folds; after the last one they begin again.
    """
    return shift % count


def folder_of(data: Path, number: int) -> Path:
    """Return where a fold is kept; number 0 is beside the test split."""
    return data / f"fold-{number}" if number else data
