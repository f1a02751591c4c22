"""What mattered: the setting that makes the score, and silence where nothing can be said."""

from __future__ import annotations

import random

import pytest

from autopeft.records import Candidate, Costs, RungPoint, TrialRecord, TrialState
from autopeft.search.importance import LEAST_TRIALS, importance


def trial(
    number: int, score: float, *, shares: tuple[float, ...] = (1.0,), **values
) -> TrialRecord:
    settings = {"method": "lora", "learning_rate": 1e-3, "epochs": 3} | values
    return TrialRecord(
        number=number,
        candidate=Candidate(**settings),
        seed=0,
        state=TrialState.COMPLETE if shares[-1] == 1.0 else TrialState.STOPPED,
        origin="tpe",
        costs=Costs(trainable_params=10),
        curve=tuple(
            RungPoint(rung=rung, share=share, score=score, wall_seconds=1.0)
            for rung, share in enumerate(shares)
        ),
        score=score if shares[-1] == 1.0 else None,
    )


def by_rate(count: int, **values) -> list[TrialRecord]:
    """Return trials whose score is that of their learning rate, whatever else they have."""
    draw = random.Random(0)
    rates = [10 ** draw.uniform(-5, -1) for _ in range(count)]
    return [
        trial(
            number,
            1.0 - abs(rate - 1e-3) / 0.1,
            learning_rate=rate,
            method=draw.choice(("lora", "dora")),
            knobs={"r": draw.choice((1, 8))},
            **values,
        )
        for number, rate in enumerate(rates)
    ]


def test_what_makes_the_score_matters_most() -> None:
    found = importance(by_rate(40))
    assert found.trials == 40 and found.trained == 1.0
    assert sum(mean for mean, _ in found.shares.values()) == pytest.approx(1.0)
    assert found.shares["learning rate"][0] > 0.8
    assert {"method", "rank"} < set(found.shares)


def test_what_is_the_same_everywhere_is_not_listed() -> None:
    assert "epochs" not in importance(by_rate(30)).shares


def test_trials_are_compared_after_the_same_share_of_their_training() -> None:
    stopped = by_rate(30, shares=(0.11, 0.33))
    complete = [trial(100 + n, 0.1 * n, shares=(0.11, 0.33, 1.0)) for n in range(5)]
    found = importance([*stopped, *complete])
    assert found.trials == 35
    assert found.trained == pytest.approx(0.33)


def test_with_few_trials_nothing_is_said() -> None:
    found = importance(by_rate(LEAST_TRIALS - 1))
    assert not found.shares
    assert "too few" in found.note
    assert not importance([]).shares


def test_equal_scores_say_nothing() -> None:
    found = importance([trial(n, 0.5, learning_rate=10.0**-n) for n in range(1, 40)])
    assert not found.shares
    assert "nothing mattered" in found.note


def test_trials_that_differ_in_nothing_say_nothing() -> None:
    found = importance([trial(n, n / 40) for n in range(40)])
    assert not found.shares
    assert found.note


def test_failed_trials_and_scores_that_are_no_numbers_are_left_out() -> None:
    made = by_rate(30)
    made.append(trial(50, float("nan")))
    assert importance(made).trials == 30
