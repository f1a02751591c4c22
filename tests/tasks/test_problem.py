"""What is told from columns, what is taken as given, and what is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from autopeft.data.load import load
from autopeft.data.source import Source
from autopeft.errors import ConfigError, DataError, UnknownNameError
from autopeft.tasks import Columns
from autopeft.tasks.class_label import class_names
from autopeft.tasks.problem import Problem, infer

ASSETS = Path(__file__).parents[3] / "shared" / "assets" / "data"
TASKS_OF_ASSETS = {"classification": "text-classification", "regression": "regression"}
SIZE = 40


def _sentences(kind: str) -> list[str]:
    return [f"this is {kind} number {row} of a few" for row in range(SIZE)]


def _cycle(*values: Any) -> list[Any]:
    return [values[row % len(values)] for row in range(SIZE)]


def _source(**columns: list[Any]) -> Source:
    return load(columns)


def _columns(problem: Problem) -> tuple[str, str | None, str]:
    return problem.columns.text, problem.columns.text_pair, problem.columns.label


TOLD: dict[str, tuple[dict[str, list[Any]], str, tuple[str, str | None, str]]] = {
    "classes": (
        {"text": _sentences("a"), "label": _cycle("no", "yes")},
        "text-classification",
        ("text", None, "label"),
    ),
    "numbered classes": (
        {"stars": _cycle(1, 2, 3), "review": _sentences("a")},
        "text-classification",
        ("review", None, "stars"),
    ),
    "odd names": (
        {"zeta": _cycle("p", "q"), "eta": _sentences("a")},
        "text-classification",
        ("eta", None, "zeta"),
    ),
    "identifiers and sources": (
        {
            "id": [f"row {row} of it" for row in range(SIZE)],
            "label": _cycle("p", "q"),
            "source": _cycle("x", "y"),
            "text": _sentences("a"),
        },
        "text-classification",
        ("text", None, "label"),
    ),
    "title and text": (
        {"title": _sentences("t"), "text": _sentences("a"), "label": _cycle("p", "q")},
        "text-classification",
        ("text", None, "label"),
    ),
    "pair by name": (
        {"premise": _sentences("p"), "hypothesis": _sentences("h"), "label": _cycle(0, 1, 2)},
        "pair-classification",
        ("premise", "hypothesis", "label"),
    ),
    "pair by shape": (
        {"left": _sentences("p"), "right": _sentences("h"), "label": _cycle("same", "other")},
        "pair-classification",
        ("left", "right", "label"),
    ),
    "number": (
        {"text": _sentences("a"), "score": [row / 7 for row in range(SIZE)]},
        "regression",
        ("text", None, "score"),
    ),
    "many whole numbers": (
        {"text": _sentences("a"), "score": list(range(SIZE))},
        "regression",
        ("text", None, "score"),
    ),
    "an index that pandas wrote": (
        {"Unnamed: 0": list(range(SIZE)), "review": _sentences("a"), "verdict": _cycle(0, 1)},
        "text-classification",
        ("review", None, "verdict"),
    ),
    "an index that parquet keeps": (
        {"review": _sentences("a"), "grade": _cycle(0, 1), "__index_level_0__": list(range(SIZE))},
        "text-classification",
        ("review", None, "grade"),
    ),
    "numbers of classes": (
        {"Class Index": _cycle(1, 2, 3), "review": _sentences("a")},
        "text-classification",
        ("review", None, "Class Index"),
    ),
    "identifiers with blanks": (
        {"Tweet ID": list(range(SIZE)), "review": _sentences("a"), "verdict": _cycle(0, 1)},
        "text-classification",
        ("review", None, "verdict"),
    ),
    "many numbered classes": (
        {"text": _sentences("a") * 2, "Intent": [row % 30 for row in range(2 * SIZE)]},
        "text-classification",
        ("text", None, "Intent"),
    ),
    "label before score": (
        {
            "score": [row / 7 for row in range(SIZE)],
            "text": _sentences("a"),
            "label": _cycle("p", "q"),
        },
        "text-classification",
        ("text", None, "label"),
    ),
    "pair and number": (
        {
            "sentence1": _sentences("p"),
            "sentence2": _sentences("h"),
            "score": [row / 7 for row in range(SIZE)],
        },
        "regression",
        ("sentence1", "sentence2", "score"),
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_task_and_columns_are_told_with_reason_and_confidence(case: str) -> None:
    columns, task, roles = TOLD[case]
    problem = infer(_source(**columns))
    assert (problem.task, _columns(problem)) == (task, roles)
    assert 0 < problem.confidence < 1
    assert f"task {task} (confidence" in problem.reasons[0]
    assert all(repr(role) in problem.reasons[0] for role in roles if role)


@pytest.mark.real
@pytest.mark.skipif(not ASSETS.exists(), reason="needs ../shared/assets/data")
def test_real_data_sets_are_told() -> None:
    index = json.loads((ASSETS / "index.json").read_text())
    wanted = {
        n: TASKS_OF_ASSETS[d["task"]] for n, d in index.items() if d["task"] in TASKS_OF_ASSETS
    }
    assert len(wanted) >= 9
    for name, task in wanted.items():
        problem = infer(load(ASSETS / name))
        assert problem.task == task, name
        assert problem.confidence > 0.9
        if isinstance(index[name].get("labels"), list):
            assert list(problem.labels) == sorted(index[name]["labels"])


def test_everything_given_is_respected_and_certain() -> None:
    source = _source(
        label=_cycle("p", "q"), text=_sentences("t"), a=_sentences("a"), b=_sentences("b"),
        grade=_cycle(1, 2, 3),
    )  # fmt: skip
    problem = infer(
        source, task="regression", text="a", text_pair="b", label="grade", metric="rmse"
    )
    assert problem.columns == Columns(text="a", text_pair="b", label="grade")
    assert (problem.task, problem.metric, problem.labels) == ("regression", "rmse", ())
    assert problem.confidence == 1.0
    assert "as given" in problem.reasons[0]


def test_one_given_column_leaves_the_others_to_be_told() -> None:
    source = _source(label=_cycle("p", "q"), topic=_cycle("x", "y", "z"), text=_sentences("t"))
    assert _columns(infer(source, label="topic")) == ("text", None, "topic")
    assert infer(source, label="topic").labels == ("x", "y", "z")


def test_given_text_means_no_pair() -> None:
    source = _source(text_a=_sentences("a"), text_b=_sentences("b"), label=_cycle(0, 1))
    assert infer(source).task == "pair-classification"
    assert infer(source, text="text_b").task == "text-classification"


def test_given_task_decides_how_whole_numbers_are_read() -> None:
    source = _source(text=_sentences("a"), stars=_cycle(1, 2, 3, 4, 5))
    assert infer(source).labels == ("1", "2", "3", "4", "5")
    assert infer(source, task="regression").labels == ()


def test_labels_are_in_natural_order() -> None:
    source = _source(text=_sentences("a"), label=_cycle("10", "9", "b10", "b9"))
    assert infer(source).labels == ("9", "10", "b9", "b10")
    floats = _source(text=_sentences("a"), label=_cycle(10.0, 9.0, None))
    assert infer(floats).labels == ("9", "10")


def test_classes_called_nan_come_after_those_that_are_numbers() -> None:
    numbers = tuple(map(str, range(50)))
    assert class_names(["b", "-nan", "Nan", *numbers]) == (*numbers, "-nan", "Nan", "b")


def test_declared_classes_give_their_names() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    data = Dataset.from_dict(
        {"text": _sentences("a"), "label": _cycle(0, 1, -1)}, features=features
    )
    assert infer(load(data)).labels == ("neg", "pos")


WRONG: dict[str, tuple[dict[str, list[Any]], dict[str, str], type[Exception], str]] = {
    "wrong column": (
        {"text": _sentences("a"), "label": _cycle(0, 1)},
        {"label": "lable"},
        DataError,
        r"no column 'lable' \(--label\); did you mean 'label'\? \(columns: text, label\)",
    ),
    "same column twice": (
        {"text": _sentences("a"), "label": _cycle(0, 1)},
        {"label": "text", "text": "text"},
        DataError,
        "given as --text and as --label",
    ),
    "second text alone": (
        {"a": _sentences("a"), "b": _sentences("b"), "label": _cycle(0, 1)},
        {"text_pair": "b"},
        ConfigError,
        "--text-pair needs --text",
    ),
    "misspelt task": (
        {"text": _sentences("a"), "label": _cycle(0, 1)},
        {"task": "text-clasification"},
        UnknownNameError,
        "did you mean 'text-classification'",
    ),
    "misspelt metric": (
        {"text": _sentences("a"), "label": _cycle(0, 1)},
        {"metric": "acuracy"},
        UnknownNameError,
        r"\(--metric\); did you mean 'accuracy'",
    ),
    "metric of another task": (
        {"text": _sentences("a"), "label": _cycle(0, 1)},
        {"metric": "rmse"},
        ConfigError,
        "not for text-classification; allowed: accuracy, macro-f1, mcc",
    ),
    "no label column": ({"text": _sentences("a")}, {}, DataError, "no label column found"),
    "no text column": ({"label": _cycle(0, 1)}, {}, DataError, "no column holds texts"),
    "ambiguous labels": (
        {"eta": _sentences("a"), "p": _cycle("u", "v"), "q": _cycle("x", "y")},
        {},
        DataError,
        "2 columns could be the label; name it with --label",
    ),
    "ambiguous texts": (
        {n: _sentences(n) for n in "xyz"} | {"label": _cycle(0, 1)},
        {},
        DataError,
        "several columns could be the text: 'x', 'y', 'z'; choose with --text",
    ),
    "fractions as classes": (
        {"text": _sentences("a"), "label": _cycle(0.5, 1.5)},
        {"task": "text-classification"},
        DataError,
        "numbers with fractions, such as '0.5', '1.5', which text-classification cannot",
    ),
    "classes as numbers": (
        {"text": _sentences("a"), "label": _cycle("x", "y")},
        {"task": "regression"},
        DataError,
        "holds classes, such as 'x', 'y', which regression cannot",
    ),
    "pair task, one text": (
        {"text": _sentences("a"), "label": _cycle("x", "y")},
        {"task": "pair-classification"},
        DataError,
        "needs two texts; name them",
    ),
    "one class": (
        {"text": _sentences("a"), "label": _cycle("x")},
        {},
        DataError,
        r"column 'label' has one class only \('x'\)",
    ),
    "no labels": (
        {"text": _sentences("a"), "label": _cycle(None)},
        {},
        DataError,
        "column 'label' has no values at all",
    ),
    "late fraction": (
        {"text": [f"t {row} of it" for row in range(9000)], "label": [0, 1] * 4499 + [0, 0.5]},
        {"task": "text-classification", "label": "label"},
        DataError,
        "row 9000, column 'label': 0.5 is a number with a fraction|numbers with fractions",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_told_or_used_says_why_and_what_to_do(case: str) -> None:
    columns, given, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        infer(_source(**columns), **given)


def test_an_index_is_no_label(tmp_path: Path) -> None:
    frame = pd.DataFrame({"review": _sentences("a"), "verdict": _cycle(0, 1)})
    frame.to_csv(tmp_path / "a.csv")
    assert _columns(infer(load(tmp_path / "a.csv"))) == ("review", None, "verdict")
    frame[["review"]].to_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match="no label column found"):
        infer(load(tmp_path / "b.csv"))


def test_many_whole_numbers_that_repeat_may_be_classes() -> None:
    source = _source(text=_sentences("a") * 2, label=[row % 30 for row in range(2 * SIZE)])
    assert "not sure of this" in infer(source).reasons[1]
    assert infer(source, task="text-classification").labels == tuple(map(str, range(30)))
