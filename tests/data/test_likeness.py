"""Given splits of another kind are told apart by their words; those drawn alike are not."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.data.likeness import MAX_ROWS, UNLIKE, told_apart, unlike
from autopeft.data.split import Splits

COMMON = ["the", "film", "was", "not", "bad", "at", "all", "and", "so", "long"]


def _texts(rows: int, seed: int, own: tuple[str, ...] = ()) -> list[str]:
    drawn = np.random.default_rng(seed)
    return [" ".join(drawn.choice([*COMMON, *own], size=8)) for _ in range(rows)]


def _splits(train: list[str], selection: list[str], test: list[str], *carved: str) -> Splits:
    parts = {"train": train, "selection": selection, "test": test}
    return Splits(
        **{name: Dataset.from_dict({"text": texts}) for name, texts in parts.items()},
        carved=carved,
    )


def test_texts_of_another_kind_are_told_apart() -> None:
    auc = told_apart(_texts(200, 0), _texts(200, 1, ("#tv", "lol")))
    assert auc is not None and auc > 0.8


@settings(deadline=None, max_examples=15, derandomize=True)
@given(seed=st.integers(0, 1000), rows=st.integers(0, 120))
def test_texts_drawn_alike_are_not(seed: int, rows: int) -> None:
    auc = told_apart(_texts(rows, seed), _texts(120, seed + 5_000))
    assert auc is None or auc < UNLIKE


def test_nothing_is_said_of_few_rows_or_without_a_word() -> None:
    assert told_apart(_texts(19, 0), _texts(200, 1, ("#tv",))) is None
    assert told_apart([""] * 30, [" "] * 30) is None
    assert told_apart([f"a{row}" for row in range(30)], [f"b{row}" for row in range(30)]) is None


def test_the_split_that_differs_is_named_and_what_it_means() -> None:
    like, other = _texts(200, 0), _texts(200, 1, ("#tv", "lol"))
    (of_selection, of_test) = unlike(_splits(like, other, like), ["text"], seed=0)
    assert of_selection.startswith("warning: the given selection split is unlike train: ")
    assert of_test.startswith("warning: the given test split is unlike selection: ")
    (of_test,) = unlike(_splits(like, like, other), ["text"], seed=0)
    assert "AUC" in of_test and "the given test split" in of_test
    assert unlike(_splits(like, like, like), ["text"], seed=0) == []


def test_what_was_carved_out_of_training_is_not_looked_at() -> None:
    like, other = _texts(200, 0), _texts(200, 1, ("#tv", "lol"))
    assert unlike(_splits(like, other, other, "selection", "test"), ["text"], seed=0) == []


def test_sorted_splits_are_read_throughout() -> None:
    first = _texts(MAX_ROWS, 0)
    both = first + _texts(MAX_ROWS, 1, ("#tv", "lol"))
    mixed = [both[place] for place in np.random.default_rng(0).permutation(len(both))]
    assert unlike(_splits(both, mixed, mixed), ["text"], seed=0) == []


def test_both_texts_of_a_pair_are_read() -> None:
    alike = Dataset.from_dict({"text": _texts(200, 0), "text_pair": _texts(200, 1)})
    other = Dataset.from_dict({"text": _texts(200, 2), "text_pair": _texts(200, 3, ("#tv",))})
    splits = Splits(train=alike, selection=other, test=alike, carved=("test",))
    (warning,) = unlike(splits, ["text", "text_pair"], seed=0)
    assert "selection" in warning
    assert unlike(splits, ["text"], seed=0) == []
