"""What further seeds are worth, on scores for which it can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search.seeds import ahead, lost

SCORES = np.array([[0.5, 0.6, 0.7], [0.8, 0.2, 0.5]])


def test_the_best_on_selection_is_ahead_by_as_much_as_selection_tells() -> None:
    best, median = ahead(SCORES, SCORES, 3), ahead(SCORES, SCORES, 3, place=1)
    assert best == pytest.approx((0.1 + 0.3) / 2)
    assert median == pytest.approx(0.0)
    assert ahead(-SCORES, SCORES, 3) == pytest.approx(-(0.1 + 0.3) / 2), "told the wrong way round"


def test_of_two_every_pair_counts_alike() -> None:
    highest = (np.array([0.6, 0.7, 0.7]), np.array([0.8, 0.8, 0.5]))
    expected = np.mean([highest[0].mean() - 0.6, highest[1].mean() - 0.5])
    assert ahead(SCORES, SCORES, 2) == pytest.approx(expected)


def test_who_trains_all_under_all_seeds_loses_nothing() -> None:
    assert lost(SCORES, SCORES, candidates=2, seeds=3) == pytest.approx(0.0)


def test_one_at_random_loses_half_of_the_difference() -> None:
    assert lost(SCORES, SCORES, candidates=1, seeds=3) == pytest.approx(0.05, abs=0.005)
