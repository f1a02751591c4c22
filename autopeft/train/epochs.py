"""After which epochs a training is evaluated."""

from __future__ import annotations

import math

LEAST = 3
"""Evaluations that a training of as many epochs always gets."""


def evaluated_epochs(epochs: int, *, train_rows: int, selection_rows: int) -> range:
    """Return the epochs after which a training is evaluated, from 1; the last is one of them.

    Every epoch. Where that would evaluate more rows than are trained on, as with 100 rows to train
    on and 1,000 to select by, every n-th, so that the training is not mostly evaluation.
    """
    apart = max(1, min(math.ceil(selection_rows / train_rows), epochs // LEAST))
    return range(epochs % apart or apart, epochs + 1, apart)
