"""A training is evaluated after every epoch, less often where that would be most of its work."""

from __future__ import annotations

import pytest

from autopeft.train.epochs import LEAST, evaluated_epochs


@pytest.mark.parametrize("epochs", [1, 3, 7, 20])
def test_every_epoch_where_more_is_trained_on(epochs: int) -> None:
    found = evaluated_epochs(epochs, train_rows=1000, selection_rows=1000)
    assert list(found) == list(range(1, epochs + 1))


@pytest.mark.parametrize(
    ("epochs", "train_rows", "expected"),
    [
        (20, 100, [2, 8, 14, 20]),
        (15, 100, [5, 10, 15]),
        (10, 500, [2, 4, 6, 8, 10]),
        (11, 500, [1, 3, 5, 7, 9, 11]),
        (20, 999, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]),
        (4, 10, [1, 2, 3, 4]),
    ],
)
def test_less_often_where_more_would_be_evaluated(
    epochs: int, train_rows: int, expected: list[int]
) -> None:
    found = evaluated_epochs(epochs, train_rows=train_rows, selection_rows=1000)
    assert list(found) == expected


def test_never_more_rows_than_are_trained_on_beyond_the_least() -> None:
    for epochs in range(1, 40):
        for train_rows in (10, 100, 333, 1000, 4000):
            found = evaluated_epochs(epochs, train_rows=train_rows, selection_rows=1000)
            assert found[-1] == epochs
            assert len(found) >= min(epochs, LEAST)
            trained_on = epochs * train_rows
            assert len(found) * 1000 < trained_on + 1000 or len(found) < 2 * LEAST
