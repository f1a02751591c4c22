"""Thrift: suggestions are thinned, so that time and not trials goes where the sampler points.

What takes n times as long as something cheap is taken up for one question in n. A sampler that has
made up its mind answers the same whenever it is asked, so each question, and not each answer, has a
price that is not to be exceeded.

Paper: Snoek et al. (2012) for improvement per second; Lee et al. (2020) for cheap candidates first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from autopeft.records import Candidate

CHEAP = 0.2
"""Up to this much of the default's time, no price is too high."""

PATIENCE = 32
"""After so many answers to a question any price will do: nothing in the space may be cheap."""

Price = Callable[[Candidate], float]
"""From a candidate, the time that its training should take, as a multiple of the default's."""


def most(*, seed: int, question: int, attempt: int) -> float:
    """Return the price that is not to be exceeded; the same arguments give the same.

    Args:
        seed: of the run.
        question: how many trials were proposed before.
        attempt: counts the answers to this question that were of no use.

    >>> highest = [most(seed=0, question=question, attempt=0) for question in range(1000)]
    >>> min(highest) >= CHEAP
    True
    >>> sum(price >= 1.0 for price in highest), sum(price >= 2.0 for price in highest)
    (193, 105)
    """
    if attempt >= PATIENCE:
        return float("inf")
    digest = hashlib.sha256(f"price/{seed}/{question}".encode()).digest()
    return CHEAP * 2**64 / (int.from_bytes(digest[:8], "big") + 1)
