"""Who gets a further seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from autopeft.search.bootstrap import Replicate
from autopeft.search.finalist import Finalist
from autopeft.search.racing import futures, undecided
from autopeft.search.select import tolerance
from benchmarks.search.made_up_finals import accuracy, world

ROWS = 200


def finalist(number: int, params: int, *scores: float, **changes: object) -> Finalist:
    made = Finalist(
        number=number,
        label=f"method-{number}",
        origin="tpe",
        trainable_params=params,
        fingerprint=f"{number:012d}",
        replicates=tuple(
            Replicate(
                seed=seed,
                score=score,
                predictions=(np.arange(ROWS) < round(score * ROWS)).astype(float),
            )
            for seed, score in enumerate(scores)
        ),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def racing(*candidates: Finalist, within: str = "0", rows: int = ROWS) -> list[int]:
    return undecided(
        candidates, accuracy, rows=rows, higher_is_better=True, allowed=tolerance(within)
    )


def test_who_is_far_behind_gets_no_more_seeds() -> None:
    near = finalist(1, 10, 0.80, 0.82), finalist(2, 20, 0.82, 0.81)
    assert set(racing(*near, finalist(3, 5, 0.60, 0.61))) == {1, 2}


def test_the_race_is_over_when_one_is_far_ahead() -> None:
    assert racing(finalist(1, 10, 0.9, 0.91), finalist(2, 20, 0.6, 0.61)) == []


def test_the_race_is_over_when_the_smaller_one_is_surely_near_enough() -> None:
    large, small = finalist(1, 1_000, 0.800, 0.805), finalist(2, 10, 0.800, 0.805)
    assert racing(large, small, within="3pt") == []
    assert set(racing(large, small)) == {1, 2}, "but who is best is open"


def test_the_best_races_on_although_it_is_too_large_to_be_chosen() -> None:
    """Whether the smaller one is near enough depends on it."""
    large = finalist(1, 1_000, 0.81, 0.85)
    small, middle = finalist(2, 10, 0.80, 0.82), finalist(3, 100, 0.80, 0.815)
    assert 1 in racing(large, small, middle, within="1pt")


def test_the_likeliest_choice_comes_first() -> None:
    assert racing(finalist(1, 10, 0.79, 0.81), finalist(2, 20, 0.81, 0.82))[0] == 2


def test_a_lower_error_is_better() -> None:
    def error(predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return 1 - accuracy(predictions, weights)

    table = [finalist(1, 10, 0.9, 0.91), finalist(2, 20, 0.6, 0.61), finalist(3, 20, 0.905, 0.9)]
    errors = [
        dataclasses.replace(
            c, replicates=tuple(dataclasses.replace(r, score=1 - r.score) for r in c.replicates)
        )
        for c in table
    ]
    found = undecided(errors, error, rows=ROWS, higher_is_better=False, allowed=tolerance("0"))
    assert set(found) == {1, 3}


def test_who_may_not_be_chosen_does_not_win_the_race() -> None:
    outside = finalist(1, 10, 0.9, 0.91, origin="default", eligible=False)
    assert racing(outside, finalist(2, 20, 0.6, 0.61)) == []
    open_ = racing(outside, finalist(2, 20, 0.6, 0.61), finalist(3, 30, 0.61, 0.6))
    assert set(open_) == {2, 3}


def test_one_seed_each_says_nothing_of_seeds() -> None:
    assert racing(finalist(1, 10, 0.8), finalist(2, 20, 0.79)) == []


def test_futures_are_as_uncertain_as_seeds_leave_them() -> None:
    few = futures([[0.7, 0.8], [0.8, 0.9]], seed=0)
    many = futures([[0.7, 0.8] * 2, [0.8, 0.9] * 2], seed=0)
    assert few.mean(axis=1) == pytest.approx([0.75, 0.85], abs=0.01)
    assert few.std(axis=1) == pytest.approx([0.05, 0.05], rel=0.1)
    assert many.std(axis=1).max() < few.std(axis=1).min()


def test_the_race_agrees_with_endless_seeds() -> None:
    """Where it is over after two seeds, twenty would have chosen the same on these rows."""
    generator = np.random.default_rng(0)
    same = []
    for _ in range(40):
        made = world(generator, tried=12, rows=ROWS, seeds=20)
        best = made.finalists(5)
        if racing(*(made.finalist(i, 2) for i in best)):
            continue
        after = [made.right[i, :, :].mean() for i in best]
        before = [made.right[i, :2, :].mean() for i in best]
        same.append(np.argmax(after) == np.argmax(before))
    assert len(same) >= 8
    assert np.mean(same) > 0.85
