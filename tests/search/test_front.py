"""Fronts against their definition."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from autopeft.records import Candidate, Costs, TrialRecord, TrialState
from autopeft.search.front import (
    Point,
    contribution,
    dominates,
    front_of,
    fronts,
    gain,
    pareto,
    size,
)

GAINS = st.sampled_from([-math.inf, 0.0, 0.25, 0.5, 0.75, 1.0])
POINTS = st.lists(
    st.builds(Point, gain=GAINS, size=st.integers(0, 4).map(float)), min_size=1, max_size=12
)


@given(POINTS)
def test_each_front_is_what_the_points_left_do_not_dominate(points: list[Point]) -> None:
    left = set(range(len(points)))
    for front in fronts(points):
        expected = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        assert set(front) == expected
        left -= expected
    assert not left


@given(POINTS)
def test_equal_points_are_on_the_same_front(points: list[Point]) -> None:
    assert set(pareto([*points, *points])) == {
        i + shift for i in pareto(points) for shift in (0, len(points))
    }


def test_a_point_alone_adds_the_box_to_its_neighbours() -> None:
    small, middle, large = (Point(gain=g, size=s) for g, s in ((0.6, 1.0), (0.7, 2.0), (0.9, 5.0)))
    assert math.isclose(contribution(middle, [small, large], floor=0.5), 0.1 * 3.0)
    assert math.isclose(contribution(small, [middle, large], floor=0.5), 0.1 * 1.0)
    assert contribution(large, [small, middle], floor=0.5) == math.inf


def test_a_missing_score_is_worse_than_any() -> None:
    assert gain(None, True) == gain(math.nan, False) == -math.inf
    assert gain(2.0, False) == -2.0


def test_the_head_alone_has_size_zero() -> None:
    assert size(0) == 0.0
    assert math.isclose(size(999), 3.0)


def test_the_front_of_trials_is_that_of_the_means_over_seeds() -> None:
    def trained(number: int, score: float, params: int) -> TrialRecord:
        return TrialRecord(
            number=number,
            candidate=Candidate(method="lora", learning_rate=1e-3, epochs=1),
            seed=0,
            state=TrialState.COMPLETE,
            origin="tpe",
            costs=Costs(trainable_params=params),
            score=score,
        )

    records = [trained(0, 0.8, 10), trained(1, 0.9, 100), trained(2, 0.7, 50)]
    assert [r.number for r in front_of(records, True)] == [0, 1]
    assert [r.number for r in front_of(records, False)] == [0, 2]
    further = {1: [trained(1, 0.6, 100), trained(1, 0.7, 100)]}
    assert [r.number for r in front_of(records, True, further)] == [0]
