"""What further trials are expected to add."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.records import Candidate, Costs, TrialRecord, TrialState
from autopeft.search.convergence import COHORT, ENOUGH, LEAST_TRIALS, outlook
from autopeft.search.front import Point, area
from benchmarks.search.stopping import played, random_search


def trial(number: int, score: float | None, params: int, origin: str = "tpe") -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=1),
        seed=0,
        state=TrialState.COMPLETE if score is not None else TrialState.STOPPED,
        origin=origin,
        costs=Costs(trainable_params=params),
        score=score,
    )


HEAD = trial(1, 0.6, 0, "head")


def search(*scores: float | None, params: int = 1_000) -> list[TrialRecord]:
    return [HEAD, *(trial(i, score, params) for i, score in enumerate(scores, start=2))]


POINTS = st.builds(Point, gain=st.sampled_from([0.1, 0.5, 0.7, 0.9]), size=st.integers(1, 5))


@given(st.lists(POINTS, min_size=1, max_size=6))
def test_covered_area_is_what_is_below_some_point_to_its_right(points: list[Point]) -> None:
    heights = [
        max((p.gain for p in points if p.size <= column), default=0.3) for column in range(1, 6)
    ]
    below = sum(max(0.0, h - 0.3) for h in heights)
    assert area(points, floor=0.3, most=6.0) == pytest.approx(below)


def test_nothing_is_foreseen_before_enough_trials() -> None:
    assert outlook(search(*[0.7] * (LEAST_TRIALS - 1)), higher_is_better=True) is None
    assert outlook(search(*[0.7] * LEAST_TRIALS), higher_is_better=True) is not None


def test_nothing_is_foreseen_without_the_head_or_where_nothing_beats_it() -> None:
    records = search(*[0.7] * 20)
    assert outlook(records[1:], higher_is_better=True) is None
    assert outlook(search(*[0.5] * 20), higher_is_better=True) is None
    assert outlook(search(*[None] * 20), higher_is_better=True) is None


def test_what_is_still_running_does_not_count() -> None:
    records = search(*[0.7] * 20)
    running = dataclasses.replace(records[-1], number=99, state=TrialState.RUNNING, score=None)
    one = outlook(records, higher_is_better=True)
    assert outlook([*records, running], higher_is_better=True) == one
    assert one is not None
    assert one.trials == 20


def test_a_search_that_rises_promises_more_than_one_that_rests() -> None:
    rising = outlook(search(*np.linspace(0.61, 0.9, 40)), higher_is_better=True)
    resting = outlook(search(0.9, 0.899, 0.898, *[0.7] * 37), higher_is_better=True)
    assert rising is not None
    assert resting is not None
    assert rising.rise > resting.rise
    assert rising.most > rising.rise
    assert resting.most > resting.rise > 0, "that nothing came says not that nothing will"


def test_what_still_rises_step_by_step_has_not_converged() -> None:
    """Each step adds little alone, since the next is hardly higher, but they go on coming."""
    found = outlook(search(*np.linspace(0.61, 0.9, 100)), higher_is_better=True)
    assert found is not None
    assert not found.converged


def test_long_rest_is_convergence() -> None:
    scores = [0.70, 0.80, 0.88, 0.90]
    early, late = (
        outlook(search(*scores, *[0.7] * rest), higher_is_better=True) for rest in (16, 400)
    )
    assert early is not None
    assert late is not None
    assert not early.converged
    assert late.converged
    assert late.after(COHORT)[1] < ENOUGH * late.height


def test_a_long_search_is_looked_at_in_a_moment() -> None:
    draw = np.random.default_rng(0)
    records = [HEAD, *(
        trial(i, float(score), int(params))
        for i, (score, params) in enumerate(
            zip(draw.uniform(0.6, 0.9, 1500), 10 ** draw.uniform(2, 6, 1500), strict=True), start=2
        )
    )]  # fmt: skip
    began = time.process_time()
    assert outlook(records, higher_is_better=True) is not None
    assert time.process_time() - began < 3.0


def test_further_trials_add_less_and_less() -> None:
    found = outlook(search(*np.linspace(0.61, 0.9, 40)), higher_is_better=True)
    assert found is not None
    first, many = found.after(1)[0], found.after(100)[0]
    assert first == pytest.approx(found.rise, rel=0.05)
    assert first < many < 100 * first


def test_the_direction_of_the_metric_is_heeded() -> None:
    scores = [*np.linspace(0.61, 0.9, 40)]
    up = outlook(search(*scores), higher_is_better=True)
    down = [dataclasses.replace(r, score=-float(r.score or 0.0)) for r in search(*scores)]
    assert outlook(down, higher_is_better=False) == up


def test_what_is_foreseen_of_random_searches_comes_true_on_average() -> None:
    ahead = played(random_search, 40)["ahead"]
    for key in ("24+8", "48+8", "48+40"):
        assert ahead[key]["came"] == pytest.approx(ahead[key]["expected"], rel=0.6)
        assert ahead[key]["came"] < ahead[key]["most"]
