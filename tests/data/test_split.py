"""Splits: disjoint, complete, stratified, seeded; given ones respected; leaks told."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.data.split import HELD_OUT_CAP, Splits, sample, split
from autopeft.errors import DataError

CLASSES = st.lists(st.integers(2, 30), min_size=2, max_size=6).filter(lambda c: sum(c) >= 6)


def _data(counts: list[int], start: int = 0) -> Dataset:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = range(start, start + len(labels))
    return Dataset.from_dict(
        {"text": [f"text {row}" for row in rows], "label": labels, "row": list(rows)}
    )


def _rows(splits: Splits) -> list[list[int]]:
    return [list(part["row"]) for part in (splits.train, splits.selection, splits.test)]


@settings(deadline=None, max_examples=40)
@given(counts=CLASSES, seed=st.integers(0, 1000), given_test=st.booleans())
def test_splits_are_disjoint_complete_and_stratified_within_one(
    counts: list[int], seed: int, given_test: bool
) -> None:
    data, test = _data(counts), _data(counts, start=10_000)
    given_splits = {"train": data, "test": test} if given_test else {"train": data}
    splits = split(given_splits, strata="label", seed=seed, inputs=["text"])
    rows = _rows(splits)
    assert sorted(itertools.chain(*rows)) == sorted(
        [*data["row"], *(test["row"] if given_test else ())]
    )
    carved = [splits.selection] if given_test else [splits.selection, splits.test]
    wanted = round(0.2 * len(data))
    for part in carved:
        found = Counter(part["label"])
        assert all(
            abs(found[label] - size * wanted / len(data)) <= 1 for label, size in enumerate(counts)
        )
    assert set(splits.train["label"]) == set(range(len(counts)))
    if given_test:
        assert rows[2] == list(test["row"])


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_same_seed_same_split_and_another_seed_another(seed: int) -> None:
    data = {"train": _data([40, 60])}
    once, again, other = (split(data, strata="label", seed=s) for s in (seed, seed, seed + 1))
    assert _rows(once) == _rows(again) != _rows(other)


def test_default_is_60_20_20() -> None:
    splits = split({"train": _data([500, 500])}, strata="label", seed=0)
    assert [len(rows) for rows in _rows(splits)] == [600, 200, 200]
    assert splits.notes == (
        "selection and test carved out of 1000 rows with seed 0: train 600, selection 200, "
        "test 200",
    )


def test_held_out_splits_are_capped_for_large_data() -> None:
    splits = split({"train": _data([40_000, 20_000])}, strata="label", seed=0)
    sizes = [len(rows) for rows in _rows(splits)]
    assert sizes == [60_000 - 2 * HELD_OUT_CAP, HELD_OUT_CAP, HELD_OUT_CAP]


def test_given_splits_are_left_as_they_are() -> None:
    given_splits = {
        name: _data([5, 5], start)
        for name, start in (("train", 0), ("selection", 50), ("test", 99))
    }
    splits = split(given_splits, strata="label", seed=0, inputs=["text"])
    assert _rows(splits) == [list(part["row"]) for part in given_splits.values()]
    assert splits.notes == ()


def test_numbers_are_stratified_by_quantile_bins() -> None:
    values = np.random.default_rng(0).lognormal(size=1_000)
    splits = split({"train": Dataset.from_dict({"label": values})}, strata="label", seed=0)
    edges = np.quantile(values, np.linspace(0, 1, 11)[1:-1])
    for part in (splits.selection, splits.test):
        counts = np.bincount(np.searchsorted(edges, part["label"][:], side="right"))
        assert set(counts.tolist()) <= {19, 20, 21}


def test_rows_with_the_same_input_stay_together() -> None:
    texts = [f" Text {row % 40}" if row < 40 else f"text {row % 40} " for row in range(100)]
    data = Dataset.from_dict({"text": texts, "label": [row % 2 for row in range(100)]})
    splits = split({"train": data}, strata="label", seed=0, inputs=["text"])
    seen = [{t.strip().lower() for t in p["text"]} for p in (splits.train, splits.selection)]
    assert not seen[0] & seen[1]
    assert "60 rows repeat the input of another row" in splits.notes[1]
    assert not any(note.startswith("warning") for note in splits.notes)


def _labelled(labels: list[list[int]]) -> dict[str, Dataset]:
    """Return a training split with a row for each label of each text."""
    pairs = [(f"text {n}", label) for n, found in enumerate(labels) for label in found]
    return {
        "train": Dataset.from_dict({"text": [t for t, _ in pairs], "label": [c for _, c in pairs]})
    }


def test_a_class_that_never_comes_first_is_spread_over_the_splits() -> None:
    data = _labelled([[0, 1]] * 10 + [[0]] * 40)
    for seed in range(10):
        splits = split(data, strata="label", seed=seed, inputs=["text"])
        for part in (splits.selection, splits.test):
            assert Counter(part["label"]) == {0: 10, 1: 2}


@pytest.mark.parametrize("rare", [[[3, 0], [3, 0]], [[0, 2], [1, 2], [0], [1]]])
def test_training_has_every_class_of_inputs_with_several(rare: list[list[int]]) -> None:
    data = _labelled([*rare, *[[3]] * 20])
    for seed in range(40):
        splits = split(data, strata="label", seed=seed, inputs=["text"])
        assert set(splits.train["label"]) == set(data["train"]["label"])


def test_leaks_between_given_splits_are_warned_about() -> None:
    train, test = _data([10, 10]), _data([10, 10], start=18)
    splits = split({"train": train, "test": test}, strata="label", seed=0, inputs=["text"])
    selection = set(splits.selection["row"]) & {18, 19}
    warnings = [note for note in splits.notes if note.startswith("warning")]
    told = sum(int(note.split()[1]) for note in warnings if " test row" in note)
    assert told == 2
    assert any("same input as a selection row" in note for note in warnings) == bool(selection)


def test_class_with_one_example_is_named() -> None:
    with pytest.raises(DataError, match="class 'rare' with one example only; add examples"):
        split({"train": _data([9, 1])}, strata="label", seed=0, names=["common", "rare"])


def test_class_with_one_example_is_fine_where_nothing_is_carved() -> None:
    parts = {"train": _data([9, 1]), "selection": _data([5]), "test": _data([5])}
    assert len(split(parts, strata="label", seed=0).train) == 10


def test_class_with_two_examples_is_trained_on_and_its_absence_said() -> None:
    splits = split({"train": _data([30, 2])}, strata="label", seed=0, names=["common", "rare"])
    assert 1 in splits.train["label"]
    held = [1 in splits.selection["label"], 1 in splits.test["label"]]
    assert sum(held) == 1
    assert splits.notes[-1].endswith("has no example of 'rare': too few different ones")


def test_class_that_training_lacks_is_an_error_with_its_row() -> None:
    parts = {"train": _data([5, 5]), "test": _data([2, 2, 3])}
    with pytest.raises(DataError, match="test has 3 rows of a class that training lacks: 'c'"):
        split(parts, strata="label", seed=0, names=["a", "b", "c"])


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="2 usable rows with different inputs are too few"):
        split({"train": _data([2])}, strata="label", seed=0)


def test_repeats_that_leave_a_split_empty() -> None:
    data = Dataset.from_dict({"text": ["a", "b", "c", "c"], "label": [0, 0, 1, 1]})
    with pytest.raises(DataError, match="4 usable rows, 3 with different inputs, are too few"):
        split({"train": data}, strata="label", seed=0, inputs=["text"])


@settings(deadline=None, max_examples=25)
@given(counts=CLASSES, share=st.floats(0.1, 0.9), seed=st.integers(0, 1000))
def test_sample_is_exact_stratified_and_seeded(counts: list[int], share: float, seed: int) -> None:
    data = _data(counts)
    rows = round(share * len(data))
    taken = sample(data, rows, "label", seed)
    found = Counter(taken["label"])
    assert len(taken) == len(set(taken["row"])) == rows
    assert list(taken["row"]) == sorted(taken["row"])
    assert all(abs(found[c] - n * rows / len(data)) < 1 for c, n in enumerate(counts))
    assert list(taken["row"]) == list(sample(data, rows, "label", seed)["row"])


def test_sample_of_more_than_there_is_is_everything() -> None:
    data = _data([3, 3])
    assert sample(data, 100, "label", 0) is data
