"""From a source to canonical, clean splits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from autopeft.data.load import load
from autopeft.errors import DataError
from autopeft.tasks import prepare as prepare_module
from autopeft.tasks.prepare import Prepared, prepare
from autopeft.tasks.problem import infer

SIZE = 40
TEXTS = [f"sentence number {row} of many" for row in range(SIZE)]
LABELS = ["no", "yes"] * (SIZE // 2)


def _prepare(data: Any, **given: str) -> Prepared:
    source = load(data)
    return prepare(source, infer(source, **given), seed=0)


def _all(prepared: Prepared) -> list[dict[str, Any]]:
    parts = (prepared.train, prepared.selection, prepared.test)
    return sorted((row for part in parts for row in part), key=lambda row: int(row["row"]))


def test_columns_are_canonical_and_rows_lead_back_to_the_source() -> None:
    prepared = _prepare({"verdict": LABELS, "review": TEXTS})
    assert _all(prepared) == [
        {"text": TEXTS[row], "label": row % 2, "row": row} for row in range(SIZE)
    ]
    assert [len(part) for part in (prepared.train, prepared.selection, prepared.test)] == [24, 8, 8]


def test_pairs_and_numbers() -> None:
    prepared = _prepare({"text_a": TEXTS, "text_b": TEXTS[::-1], "score": [0.5, 1] * 20})
    assert prepared.train.column_names == ["text", "text_pair", "label", "row"]
    assert _all(prepared)[1]["text_pair"] == TEXTS[-2]
    assert prepared.train.features["label"].dtype == "float64"


def test_rows_without_text_or_label_are_left_out_and_said() -> None:
    texts: list[Any] = [*TEXTS, "one text more", " ", None, "another"]
    labels: list[Any] = [*LABELS, None, "yes", "no", "nan"]
    prepared = _prepare({"text": texts, "label": labels})
    assert [row["row"] for row in _all(prepared)] == list(range(SIZE))
    assert prepared.notes[:2] == (
        "2 rows of train left out: no value in column 'label' (first: row 41)",
        "2 rows of train left out: no value in column 'text' (first: row 42)",
    )


def test_a_small_carved_selection_has_folds() -> None:
    prepared = _prepare({"text": TEXTS, "label": LABELS})
    assert [len(fold.selection) for fold in prepared.folds] == [8, 8, 8, 8]
    assert prepared.folds[0].train is prepared.train
    assert prepared.folds[0].selection is prepared.selection
    assert "8 rows" in prepared.notes[-1] and "4 in all" in prepared.notes[-1]
    kept = {row["row"] for part in (prepared.train, prepared.selection) for row in part}
    for fold in prepared.folds:
        assert {row["row"] for part in (fold.train, fold.selection) for row in part} == kept


def test_a_given_or_a_large_selection_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    given = _prepare(DatasetDict(train=table, validation=table))
    assert len(given.folds) == 1
    monkeypatch.setattr(prepare_module, "SMALL", 8)
    assert len(_prepare({"text": TEXTS, "label": LABELS}).folds) == 1


def test_classes_too_small_for_folds_get_none_and_none_are_promised() -> None:
    prepared = _prepare({"text": TEXTS, "label": [f"c{row // 2}" for row in range(SIZE)]})
    assert len(prepared.folds) == 1
    assert not any("folds" in note for note in prepared.notes)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([3] * SIZE, r"column 'label' has one number only \(3.0\); there is nothing to learn"),
        ([0.1] * SIZE, r"column 'label' has one number only \(0.1\)"),
        ([1.7e9 + row / 2 for row in range(SIZE)], "cannot tell apart.*subtract what they share"),
        ([1e-50 * row for row in range(SIZE)], "cannot tell apart.*or multiply them"),
        ([0.5, 1e38] * (SIZE // 2), "row 2, column 'label': 1e.38 is too large for a model"),
    ],
)
def test_numbers_that_a_model_cannot_tell_apart_are_refused(
    numbers: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _prepare({"text": TEXTS, "label": numbers}, task="regression")


def test_numbers_of_any_usual_size_are_taken() -> None:
    for numbers in ([1e-30, 2e-30], [1e36, -1e36], [2020.5, 2021.0], [0, 5]):
        assert len(_all(_prepare({"text": TEXTS, "label": numbers * 20}, task="regression")))


def test_nan_numbers_are_missing() -> None:
    prepared = _prepare({"text": TEXTS, "label": [float("nan"), *(r / 3 for r in range(1, SIZE))]})
    assert len(_all(prepared)) == SIZE - 1


def test_decimals_are_numbers_and_whole_ones_classes() -> None:
    data = Dataset.from_dict({"text": TEXTS, "label": [Decimal("1.0"), Decimal("2.0")] * 20})
    assert infer(load(data)).labels == ("1", "2")
    assert _all(_prepare(data, task="regression"))[1]["label"] == 2.0


def test_infinite_number_is_an_error_with_its_row() -> None:
    with pytest.raises(DataError, match="row 2, column 'label': inf is not a finite number"):
        _prepare({"text": TEXTS, "label": [0.5, float("inf"), *([1.5] * (SIZE - 2))]})


def test_numbers_and_text_in_one_text_column_are_text() -> None:
    prepared = _prepare([{"text": 7 if r == 3 else t, "label": LABELS[r]} for r, t in
                         enumerate(TEXTS)])  # fmt: skip
    assert _all(prepared)[3]["text"] == "7"


def test_given_test_split_without_labels_is_replaced_and_said() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    train = Dataset.from_dict(
        {"text": TEXTS, "label": [r % 2 for r in range(SIZE)]}, features=features
    )
    unlabelled = Dataset.from_dict({"text": ["x", "y"], "label": [-1, -1]}, features=features)
    for test in (unlabelled, unlabelled.remove_columns("label")):
        prepared = _prepare(DatasetDict(train=train, test=test))
        assert len(prepared.test) == 8
        assert "test" in prepared.notes[0]
        assert "not used" in prepared.notes[0]


def test_given_split_without_a_text_column_is_an_error() -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    test = Dataset.from_dict({"body": TEXTS, "label": LABELS})
    with pytest.raises(DataError, match="test: there is no column 'text'"):
        _prepare(DatasetDict(train=train, test=test))


def test_class_unseen_in_training_is_an_error_with_its_row() -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    test = Dataset.from_dict({"text": ["a", "b"], "label": ["no", "maybe"]})
    with pytest.raises(
        DataError, match="test, row 2, column 'label': class 'maybe' is not in the training data"
    ):
        _prepare(DatasetDict(train=train, test=test))


def test_unseen_declared_class_is_named() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "so", "yes"])})
    numbers = {"no": 0, "yes": 2}
    train = {"text": TEXTS, "label": [numbers[label] for label in LABELS]}
    test = {"text": ["a", "b"], "label": [0, 1]}
    splits = {"train": train, "test": test}
    made = {name: Dataset.from_dict(rows, features=features) for name, rows in splits.items()}
    with pytest.raises(DataError, match="class 'so' is not in the training data"):
        _prepare(DatasetDict(made))


def test_test_rows_leaked_into_training_are_warned_about() -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    test = Dataset.from_dict({"text": ["new", TEXTS[0], TEXTS[1]], "label": ["no", "no", "yes"]})
    selection = Dataset.from_dict({"text": ["x", "y"], "label": ["no", "yes"]})
    notes = _prepare(DatasetDict(train=train, validation=selection, test=test)).notes
    assert notes[0].startswith("warning: 2 test rows have the same input as a train row (a leak)")


def test_class_with_one_example_is_named() -> None:
    with pytest.raises(DataError, match="class 'once' with one example only"):
        _prepare({"text": [*TEXTS, "one more text"], "label": [*LABELS, "once"]})


def test_a_class_for_every_row_is_an_error() -> None:
    with pytest.raises(DataError, match=r"40 classes: .* and 35 more with one example only"):
        _prepare({"text": TEXTS, "label": [f"c{row}" for row in range(SIZE)]})


def test_same_seed_same_splits() -> None:
    source = load({"text": TEXTS, "label": LABELS})
    problem = infer(source)
    once, again, other = (prepare(source, problem, seed=seed) for seed in (0, 0, 1))
    assert once.test["row"][:] == again.test["row"][:] != other.test["row"][:]
