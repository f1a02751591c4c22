"""Ranks, their intervals and the tests, against brute force and published values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.bench.ranking import critical_difference, friedman, normalised, ranks_of, summary

INF = float("inf")


def test_equals_share_a_rank_and_failures_come_last() -> None:
    assert ranks_of(np.array([0.9, 0.5, 0.9, -INF])).tolist() == [1.5, 3.0, 1.5, 4.0]


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_mean_ranks_are_those_counted_by_hand(table: list[list[int]]) -> None:
    gains = [[[float(value)] for value in row] for row in table]
    found = summary(gains, [-1.0] * len(table), [5.0] * len(table))
    for at in range(3):
        by_hand = [
            1 + sum(other > row[at] for other in row) + (row.count(row[at]) - 1) / 2
            for row in table
        ]
        assert found.ranks[at] == pytest.approx(np.mean(by_hand))


def test_normalised_scores_lie_between_learning_nothing_and_the_best() -> None:
    found = normalised(np.array([0.9, 0.5, 0.7, 0.3, -INF]), floor=0.5, best=0.9)
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.5, -0.5, 0.0])
    assert normalised(np.array([0.5, 0.4]), floor=0.5, best=0.5).tolist() == [1.0, 0.0]


def test_intervals_hold_the_mean_and_shrink_with_what_is_sure() -> None:
    sure = summary([[[0.9, 0.9], [0.5, 0.5]]] * 3, [0.0] * 3, [0.9] * 3)
    assert sure.rank_bounds.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    shaky = summary([[[0.9, 0.4], [0.7, 0.5]], [[0.6, 0.8], [0.9, 0.1]]], [0.0, 0.0], [1.0, 1.0])
    assert (shaky.rank_bounds[0] <= shaky.ranks).all()
    assert (shaky.rank_bounds[1] >= shaky.ranks).all()
    assert shaky.rank_bounds[0, 0] < shaky.rank_bounds[1, 0]
    again = summary([[[0.9, 0.4], [0.7, 0.5]], [[0.6, 0.8], [0.9, 0.1]]], [0.0, 0.0], [1.0, 1.0])
    assert again.rank_bounds.tolist() == shaky.rank_bounds.tolist()


@pytest.mark.parametrize(("rows", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_demsars(rows: int, q: float) -> None:
    expected = q * (rows * (rows + 1) / (6 * 14)) ** 0.5
    assert critical_difference(14, rows) == pytest.approx(expected, abs=2e-3)


def test_friedman_needs_something_to_compare() -> None:
    assert friedman(np.array([[1.0, 2.0, 3.0]])) is None
    assert friedman(np.array([[1.0, 2.0], [2.0, 1.0]])) is None
    assert friedman(np.full((3, 3), 2.0)) is None
    tested = friedman(np.array([[1.0, 2.0, 3.0]] * 4))
    assert tested is not None
    assert tested[0] == pytest.approx(8.0)
