"""Whether two finalists can be told apart: paired tests on the same rows, corrected for many."""

from __future__ import annotations

import math
from collections.abc import Sequence

SIGNIFICANT = 0.05
"""Two finalists are told apart where chance alone gives such a difference less often than this."""


def chance(difference: float, standard_error: float) -> float:
    """Return how often chance alone gives a difference at least as large, either way.

    The standard error is that of the paired difference: rows on which both are right or both are
    wrong do not count, as in McNemar's test.

    >>> round(chance(1.96, 1.0), 3)
    0.05
    """
    if standard_error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / standard_error / math.sqrt(2))


def corrected(chances: Sequence[float]) -> list[float]:
    """Return the chances corrected for having made that many comparisons.

    Paper: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure: the smallest times
    their number, the next times one less, none below one before it.

    >>> [round(chance, 3) for chance in corrected([0.01, 0.5, 0.03])]
    [0.03, 0.5, 0.06]
    """
    result, highest = [1.0] * len(chances), 0.0
    for place, index in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
        highest = max(highest, min(1.0, (len(chances) - place) * chances[index]))
        result[index] = highest
    return result
