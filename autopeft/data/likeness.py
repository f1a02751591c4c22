"""Whether given splits are of the same kind, by their words alone.

A classifier two-sample test (Lopez-Paz and Oquab, 2017, "Revisiting classifier two-sample tests"):
if a linear model of the words tells the rows of two splits apart, they were not drawn alike, and
what is best on the one need not be best on the other. Labels are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from autopeft.data.split import Splits

if TYPE_CHECKING:
    from datasets import Dataset

UNLIKE = 0.65
"""AUC from which splits are called unlike; equal ones have 0.5."""

MAX_ROWS = 1_000
"""That are read of either split."""

MAX_CHARACTERS = 500
"""That are read of a row."""

_FOLDS = 5
_LEAST_ROWS = 20
_STANDARD_ERRORS = 3.0
_WORD_OR_SIGN = r"(?u)\w+|[^\w\s]"

_MEANS = {
    ("train", "selection"): "candidates are compared on texts of another kind than they learn from",
    ("selection", "test"): "what is chosen on selection may not be the best on test, and test "
    "scores may be far from what selection promises",
}


def unlike(splits: Splits, inputs: Sequence[str], seed: int) -> list[str]:
    """Return a warning for a given selection or test split that is unlike what stands before it.

    Args:
        splits: those that were carved out of training are like it, and not looked at.
        inputs: the columns a model sees.
        seed: of the rows that are read of large splits.
    """

    @cache
    def read(name: str) -> list[str]:
        return _texts(getattr(splits, name), inputs, seed)

    warnings = []
    for (here, there), meaning in _MEANS.items():
        if there in splits.carved:
            continue
        auc = told_apart(read(here), read(there))
        if auc is not None and auc >= UNLIKE:
            warnings.append(
                f"warning: the given {there} split is unlike {here}: words alone tell their rows "
                f"apart (AUC {auc:.2f}, of like ones 0.5); {meaning}"
            )
    return warnings


def told_apart(here: Sequence[str], there: Sequence[str]) -> float | None:
    """Return how well words tell two sets of texts apart, as a cross-validated AUC.

    Of the larger set only as many are read as the smaller one has. Returns None for fewer than 20,
    and where the AUC is within three standard errors of 0.5, which chance alone can reach.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    each = min(len(here), len(there))
    if each < _LEAST_ROWS:
        return None
    words = TfidfVectorizer(token_pattern=_WORD_OR_SIGN, min_df=2, sublinear_tf=True)
    try:
        counts = words.fit_transform([*here[:each], *there[:each]])
    except ValueError:  # no word occurs twice
        return None
    side = np.repeat([0, 1], each)
    scores = cross_val_predict(
        LogisticRegression(), counts, side, cv=_FOLDS, method="decision_function"
    )
    auc = float(roc_auc_score(side, scores))
    # Of the Mann-Whitney statistic where both are drawn alike.
    chance = math.sqrt((2 * each + 1) / (12 * each * each))
    return auc if auc - 0.5 > _STANDARD_ERRORS * chance else None


def _texts(dataset: Dataset, inputs: Sequence[str], seed: int) -> list[str]:
    """Return the beginnings of some rows' texts, in random order."""
    order = np.random.default_rng(seed).permutation(len(dataset))[:MAX_ROWS]
    chosen = dataset.select(order)
    columns = ([str(text)[:MAX_CHARACTERS] for text in chosen[name]] for name in inputs)
    return ["\n".join(row) for row in zip(*columns, strict=True)]
