"""What a column is said to hold."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from autopeft.data.columns import SAMPLE_ROWS, profile

COLUMNS = {
    "text": ([f"sentence number {row} of many" for row in range(20)], "text"),
    "word": ([f"word{row}" for row in range(20)], "text"),
    "class": (["good", "bad"] * 10, "category"),
    "flag": ([True, False] * 10, "category"),
    "stars": ([1, 2, 3, 4, 5] * 4, "integer"),
    "whole floats": ([1.0, None] * 10, "integer"),
    "score": ([0.5, 1.0] * 10, "number"),
    "tokens": ([["a", "b"]] * 20, "other"),
    "nothing": ([None] * 20, "other"),
    "long class": (["one of a few long names", "another of a few long names"] * 20, "category"),
    "repeated sentence": (["the same words " * 6] * 40, "text"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_kind(name: str) -> None:
    values, kind = COLUMNS[name]
    assert profile(Dataset.from_dict({name: values}))[0].kind == kind


def test_declared_classes_are_a_category() -> None:
    features = Features({"y": ClassLabel(names=["no", "yes"]), "n": Value("int8")})
    data = Dataset.from_dict({"y": [0, 1], "n": [0, 1]}, features=features)
    assert [column.kind for column in profile(data)] == ["category", "integer"]


def test_missing_is_counted_over_all_rows_with_blanks_and_nan() -> None:
    size = 3 * SAMPLE_ROWS
    data = Dataset.from_dict(
        {
            "text": ["words"] * (size - 3) + ["", " \t", None],
            "score": [0.5] * (size - 2) + [float("nan"), None],
        }
    )
    assert [column.missing for column in profile(data)] == [3, 2]
    assert [column.rows for column in profile(data)] == [size, size]


def test_shape_comes_from_a_sample() -> None:
    data = Dataset.from_dict({"n": list(range(2 * SAMPLE_ROWS))})
    column = profile(data)[0]
    assert (column.sampled, column.distinct) == (SAMPLE_ROWS, SAMPLE_ROWS)
    assert profile(data) == profile(data)


def test_mean_words_and_examples() -> None:
    column = profile(Dataset.from_dict({"t": ["one two three", "four", "x" * 99]}))[0]
    assert column.mean_words == pytest.approx(5 / 3)
    assert column.examples == ("one two three", "four", "x" * 60)
