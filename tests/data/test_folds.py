"""Folds: each row is selected by once, stratified, repeats kept together."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.data.folds import Fold, fold_of, folds
from autopeft.data.split import split
from autopeft.data.strata import spread


def divided(labels: list[float] | list[int], texts: list[str] | None = None) -> list[Fold]:
    """Return the folds of what a carved split leaves to train and select."""
    rows = Dataset.from_dict(
        {
            "text": texts or [f"text {row}" for row in range(len(labels))],
            "label": labels,
            "row": list(range(len(labels))),
        }
    )
    parts = split({"train": rows}, strata="label", seed=0, inputs=["text"])
    return folds(parts.train, parts.selection, strata="label", seed=0, inputs=["text"])


def rows_of(dataset: Dataset) -> set[int]:
    return set(dataset["row"])


def test_every_row_is_selected_by_once() -> None:
    found = divided([row % 2 for row in range(100)])
    assert [len(fold.selection) for fold in found] == [20, 20, 20, 20]
    every = rows_of(found[0].train) | rows_of(found[0].selection)
    assert len(every) == 80
    held = [rows_of(fold.selection) for fold in found]
    assert set.union(*held) == every and sum(map(len, held)) == len(every)
    for fold in found:
        assert rows_of(fold.train) == every - rows_of(fold.selection)
        assert len(fold.train) == 60


def test_classes_are_shared_out_evenly() -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 10
    for fold in divided(labels):
        assert np.bincount(fold.selection["label"]).tolist() in ([12, 6, 2], [12, 7, 1])


def test_numbers_are_stratified_by_size() -> None:
    for fold in divided([row / 7 for row in range(100)]):
        assert abs(np.mean(fold.selection["label"]) - 99 / 14) < 1.5


def test_repeats_stay_together() -> None:
    texts = [f"text {row // 2}" for row in range(100)]
    for fold in divided([row // 2 % 2 for row in range(100)], texts):
        assert not set(fold.train["text"]) & set(fold.selection["text"])


def test_training_keeps_every_class() -> None:
    labels = [0] * 50 + [1] * 40 + [2] * 2
    for fold in divided(labels):
        assert set(fold.train["label"]) == {0, 1, 2}


def test_training_keeps_every_class_of_inputs_with_several() -> None:
    texts = [f"text {row}" for row in range(60)] + ["text 3", "text 7"]
    for fold in divided([0] * 60 + [1] * 2, texts):
        assert set(fold.train["label"]) == {0, 1}


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(2, 20), min_size=2, max_size=4))
def test_nothing_is_lost_and_no_class_leaves_training(sizes: list[int]) -> None:
    labels = [number for number, size in enumerate(sizes) for _ in range(size)]
    if len(labels) < 10:
        labels += [0] * 10
    found = divided(labels)
    every = rows_of(found[0].train) | rows_of(found[0].selection)
    for fold in found:
        assert rows_of(fold.train) | rows_of(fold.selection) == every
        assert not rows_of(fold.train) & rows_of(fold.selection)
        assert set(fold.train["label"]) == set(found[0].train["label"])
        assert len(fold.selection)


def test_the_same_seed_divides_alike() -> None:
    one, again = (divided([row % 3 for row in range(90)]) for _ in range(2))
    assert [rows_of(fold.selection) for fold in one] == [rows_of(fold.selection) for fold in again]


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), parts=st.integers(1, 7))
def test_rows_are_spread_evenly(sizes: list[int], parts: int) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    places = spread(strata, parts, np.random.default_rng(0))
    assert np.ptp(np.bincount(places, minlength=parts)) <= 1
    for stratum in range(len(sizes)):
        assert np.ptp(np.bincount(places[strata == stratum], minlength=parts)) <= 1


def test_folds_begin_again() -> None:
    assert [fold_of(shift, 3) for shift in range(5)] == [0, 1, 2, 0, 1]
    assert fold_of(4, 1) == 0
