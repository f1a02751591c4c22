"""What is said of a search that ended."""

from __future__ import annotations

import dataclasses

from autopeft.api.foresight import foresight
from autopeft.records import Costs
from tests.search.test_convergence import search


def said(
    *scores: float, seconds: float | None = 90.0, percent: bool = True, workers: int = 1
) -> str:
    records = [
        dataclasses.replace(
            r, costs=Costs(trainable_params=r.costs.trainable_params, train_seconds=seconds)
        )
        for r in search(*scores)
    ]
    lines = foresight(records, higher_is_better=True, percent=percent, workers=workers)
    return "\n".join(lines)


def test_too_few_trials_say_nothing() -> None:
    assert said(0.7, 0.8) == ""


def test_a_search_that_rests_looks_converged() -> None:
    text = said(0.9, 0.89, 0.88, *[0.7] * 400)
    assert text.startswith("looks converged: the next 8 trials should lift the front by 0.0")
    assert "another hour, about 40 trials, should lift the front by" in text


def test_a_search_that_rises_has_not_converged() -> None:
    assert said(*[0.61 + 0.01 * i for i in range(25)]).startswith("has not converged")


def test_more_workers_do_more_in_an_hour() -> None:
    assert "about 36 trials" in said(*[0.7] * 200, seconds=100.0)
    assert "about 144 trials" in said(*[0.7] * 200, seconds=100.0, workers=4)


def test_no_more_is_foreseen_than_as_many_trials_again() -> None:
    assert "as many trials again, about 15 minutes, should" in said(*[0.7] * 30, seconds=30.0)


def test_without_times_nothing_is_said_of_an_hour() -> None:
    assert "hour" not in said(*[0.7] * 30, seconds=None)


def test_other_metrics_are_told_in_their_own_units() -> None:
    assert "points" not in said(*[0.7] * 30, percent=False)
