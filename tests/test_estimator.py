"""The scikit-learn faces keep scikit-learn's conventions."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import autopeft.api
from autopeft.api import SearchResult
from autopeft.config import SearchConfig
from autopeft.errors import ConfigError, NoCandidateError
from autopeft.estimator import AutoPeftClassifier, AutoPeftRegressor
from autopeft.tasks.class_label import class_names

pytestmark = pytest.mark.usefixtures("forked_workers")

BOTH = pytest.mark.parametrize("estimator", [AutoPeftClassifier, AutoPeftRegressor])
SPACE = "epochs: 12\nbatch_size: 8\nmethods:\n  full:\n    learning_rate: 0.005\n"
PAIRS = [("one", "two"), ("three", "four"), ("five", "six")]


class Oracle:
    """Stands in for a tuned model: the first text is the name of the class, or the number."""

    def __init__(self, columns: dict[str, list[Any]], task: str) -> None:
        labels = () if task == "regression" else class_names(columns["label"])
        pair = "text_pair" if "text_pair" in columns else None
        self.about = SimpleNamespace(labels=labels, text_pair=pair)

    def predict(self, texts: list[str], text_pairs: list[str] | None = None) -> list[float]:
        return [float(text) for text in texts]

    def predict_proba(self, texts: list[str], text_pairs: list[str] | None = None) -> np.ndarray:
        return np.array([[float(text == name) for name in self.about.labels] for text in texts])


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Replace the search by one that answers at once; return what it was asked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    asked: list[dict[str, Any]] = []

    def search(columns: dict[str, list[Any]], **settings: Any) -> SearchResult:
        asked.append({"columns": columns, **settings})
        if columns["text"][0] == "fail":
            raise NoCandidateError("nothing came to its end")
        folder = Path(settings["output"])
        (folder / "best").mkdir(parents=True, exist_ok=True)
        result = SearchResult(
            folder=folder,
            choice=None,  # type: ignore[arg-type]
            records=(),
            front=(),
            higher_is_better=True,
        )
        vars(result)["tuned"] = Oracle(columns, settings["task"])
        return result

    monkeypatch.setattr(autopeft.api, "search", search)
    return asked


def test_package_loads_no_scikit_learn_until_asked() -> None:
    code = (
        "import sys, autopeft; assert 'sklearn' not in sys.modules; autopeft.AutoPeftClassifier; "
        "assert 'sklearn' in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@BOTH
def test_parameters_are_settings_of_a_search_with_the_same_defaults(estimator: type) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(SearchConfig)}
    parameters = estimator().get_params()
    assert parameters.pop("verbose") is False
    assert parameters == {name: defaults[name] for name in parameters}


@BOTH
def test_clone_and_set_params_keep_parameters_only(estimator: type) -> None:
    given = estimator("a-model", methods=["lora"], time_limit="90s").set_params(trials=3)
    given.result_ = "learnt"
    copied = clone(given)
    assert copied.get_params() == given.get_params()
    assert (copied.model, copied.trials, copied.time_limit) == ("a-model", 3, "90s")
    assert not hasattr(copied, "result_")


def test_tags_tell_of_texts() -> None:
    assert is_classifier(AutoPeftClassifier())
    assert is_regressor(AutoPeftRegressor())
    tags = AutoPeftClassifier().__sklearn_tags__()
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.target_tags.required


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (AutoPeftClassifier, "predict"),
        (AutoPeftClassifier, "predict_proba"),
        (AutoPeftRegressor, "predict"),
    ],
)
def test_prediction_before_fit_is_refused(estimator: type, method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(estimator(), method)(["a text"])


@pytest.mark.parametrize(
    "labels",
    [
        ["pos", "neg", "pos"],
        [10, 9, 2],
        [-1, 1, 1],
        [1.0, 2.0, 1.0],
        [True, False, True],
        ["10", "9", "b10"],
        pd.Series(["b", "a", "c"], dtype="category", index=[7, 8, 9]),
    ],
)
def test_labels_come_back_as_they_were(searches: list[dict[str, Any]], labels: Any) -> None:
    classifier = AutoPeftClassifier("m").fit(["x", "y", "z"], labels)
    given = np.asarray(labels)
    assert classifier.classes_.dtype == given.dtype
    assert list(classifier.classes_) == sorted(set(given))
    names = searches[0]["columns"]["label"]
    predicted = classifier.predict(names)
    assert predicted.dtype == given.dtype
    assert list(predicted) == list(given)
    assert classifier.score(names, labels) == 1.0
    expected = given[:, None] == classifier.classes_[None, :]
    assert np.array_equal(classifier.predict_proba(names), expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True, False, True], "boolean"), ([7, 2, 7], "Int64"), ([1, 0, 1], "UInt8")],
)
def test_labels_of_the_nullable_types_of_pandas_come_back(
    searches: list[dict[str, Any]], values: list[Any], kind: str
) -> None:
    classifier = AutoPeftClassifier("m").fit(["x", "y", "z"], pd.Series(values, dtype=kind))
    names = searches[0]["columns"]["label"]
    assert names == list(map(str, values))
    assert repr(classifier.predict(names).tolist()) == repr(values)
    with pytest.raises(ValueError, match=r"y\[1\] is <NA>"):
        AutoPeftClassifier("m").fit(["x", "y"], pd.Series([values[0], None], dtype=kind))


@pytest.mark.parametrize("labels", [["", "a"], ["a", " a"], ["nan", "a"]])
def test_labels_that_would_be_confused_get_names(
    searches: list[dict[str, Any]], labels: list[str]
) -> None:
    classifier = AutoPeftClassifier("m").fit(["x", "y"], labels)
    names = searches[0]["columns"]["label"]
    assert sorted(names) == ["class 0", "class 1"]
    assert list(classifier.predict(names)) == labels


@pytest.mark.parametrize(
    "texts",
    [
        ["one", "three", "five"],
        ("one", "three", "five"),
        np.array(["one", "three", "five"]),
        np.array(["one", "three", "five"], dtype=object),
        pd.Series(["one", "three", "five"], index=[5, 6, 7]),
        pd.DataFrame({"review": ["one", "three", "five"]}),
    ],
)
def test_texts_may_be_a_list_an_array_a_series(searches: list[dict[str, Any]], texts: Any) -> None:
    AutoPeftClassifier("m").fit(texts, ["a", "b", "a"])
    assert searches[0]["columns"] == {"text": ["one", "three", "five"], "label": ["a", "b", "a"]}
    assert searches[0]["task"] == "text-classification"
    assert searches[0]["text_pair"] is None


@pytest.mark.parametrize(
    "texts",
    [
        PAIRS,
        [list(pair) for pair in PAIRS],
        np.array(PAIRS),
        pd.DataFrame(PAIRS, columns=["premise", "hypothesis"], index=[3, 4, 5]),
    ],
)
def test_pairs_may_be_tuples_an_array_a_frame(searches: list[dict[str, Any]], texts: Any) -> None:
    AutoPeftClassifier("m").fit(texts, ["a", "b", "a"])
    columns = searches[0]["columns"]
    assert list(zip(columns["text"], columns["text_pair"], strict=True)) == PAIRS
    assert searches[0]["task"] == "pair-classification"
    assert searches[0]["text_pair"] == "text_pair"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "give a list of texts"),
        ([], "0 samples"),
        (np.zeros((0,), dtype=str), "0 samples"),
        (5, "X is a int"),
        (["a", None], r"X\[1\] is None"),
        (["a", float("nan")], r"X\[1\] is nan"),
        ([1, 2], r"X\[0\] is 1"),
        (np.zeros((2, 2)), r"X\[0\] is \[0.0, 0.0\]"),
        ([("a", "b"), "c"], r"X\[1\] holds 1 texts"),
        ([("a", "b", "c"), ("d", "e", "f")], r"X\[0\] holds 3 texts"),
    ],
)
@BOTH
def test_bad_texts_are_refused_with_their_place(
    searches: list[dict[str, Any]], estimator: type, texts: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimator("m").fit(texts, [0, 1])
    assert not searches
    fitted = estimator("m").fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match=message):
        fitted.predict(texts)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y"),
        (["a"], "inconsistent numbers of samples"),
        ([["a", "b"], ["c", "d"]], "should be a 1d array"),
        (["a", None], r"y\[1\] is None"),
        ([1.0, float("nan")], r"y\[1\] is nan"),
        (["a", "a"], "one class only"),
        ([0.5, 1.5], "Unknown label type"),
    ],
)
def test_bad_classes_are_refused(searches: list[dict[str, Any]], y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoPeftClassifier("m").fit(["one", "two"], y)
    assert not searches


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, None], r"y\[1\] is None"),
        ([1.0, float("inf")], r"y\[1\] is inf"),
        (["a", "b"], "could not convert string to float"),
    ],
)
def test_bad_numbers_are_refused(searches: list[dict[str, Any]], y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoPeftRegressor("m").fit(["one", "two"], y)
    assert not searches


@pytest.mark.parametrize("texts", [["one", " ", ""], [("a", "b"), ("c", ""), (" ", "d")]])
def test_a_class_without_texts_is_refused(searches: list[dict[str, Any]], texts: Any) -> None:
    with pytest.raises(ValueError, match="class 7 has blank texts only"):
        AutoPeftClassifier("m").fit(texts, [3, 7, 7])
    assert not searches


@pytest.mark.parametrize(
    ("estimator", "y", "message"),
    [
        (AutoPeftClassifier, ["a", "b", "b", "c"], "2 classes: 'a', 'c' with one example only"),
        (AutoPeftRegressor, [0.5] * 4, "one number only"),
    ],
)
def test_what_the_data_lacks_is_a_value_error(
    tiny_folder: Callable[[str], Path], estimator: type, y: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimator(tiny_folder("bert")).fit(["one", "two", "three", "four"], y)


def test_prediction_takes_what_fit_took(searches: list[dict[str, Any]]) -> None:
    classifier = AutoPeftClassifier("m").fit(PAIRS, [0, 1, 0])
    with pytest.raises(ValueError, match="fitted on pairs of texts"):
        classifier.predict(["one"])
    with pytest.raises(ValueError, match="fitted on one text per row"):
        classifier.fit(["x", "y"], [0, 1]).predict(PAIRS)


def test_regressor_gives_floats(searches: list[dict[str, Any]]) -> None:
    regressor = AutoPeftRegressor("m").fit(["x", "y"], [1, 3])
    assert searches[0]["task"] == "regression"
    assert searches[0]["columns"]["label"] == [1.0, 3.0]
    predicted = regressor.predict(["1.5", "3"])
    assert predicted.dtype == np.float64
    assert predicted.tolist() == [1.5, 3.0]
    assert regressor.score(["1", "3"], [1, 3]) == 1.0


def test_parameters_reach_the_search(searches: list[dict[str, Any]], tmp_path: Path) -> None:
    given = {"model": "m", "methods": ["lora"], "trials": 2, "max_params": "300k", "seed": 4}
    AutoPeftClassifier(**given, output=tmp_path / "run").fit(["x", "y"], [0, 1])
    assert given.items() <= searches[0].items()
    assert searches[0]["output"] == tmp_path / "run"
    assert searches[0]["fork"] is True


def test_grid_search_clones_and_sets_parameters(searches: list[dict[str, Any]]) -> None:
    grid = GridSearchCV(AutoPeftClassifier("m"), {"trials": [2, 3]}, cv=2)
    grid.fit(["0", "1", "0", "1"], [0, 1, 0, 1])
    assert [asked["trials"] for asked in searches] == [2, 2, 3, 3, 2]
    assert grid.best_score_ == 1.0
    assert list(grid.predict(["1", "0"])) == [1, 0]


def test_temporary_folder_lives_as_long_as_the_estimator(searches: list[dict[str, Any]]) -> None:
    classifier = AutoPeftClassifier("m").fit(["x", "y"], [0, 1])
    first = classifier.result_.folder
    with pytest.raises(NoCandidateError):
        classifier.fit(["fail", "y"], [0, 1])
    assert not Path(searches[1]["output"]).parent.exists()
    assert classifier.result_.folder == first
    assert first.is_dir()
    second = classifier.fit(["x", "y"], [0, 1]).result_.folder
    assert not first.parent.exists()
    assert second.is_dir()
    del classifier
    gc.collect()
    assert not second.parent.exists()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copy_of_a_fitted_estimator_keeps_the_temporary_folder(
    searches: list[dict[str, Any]], copied: Callable[[Any], Any]
) -> None:
    classifier = AutoPeftClassifier("m").fit(["x", "y"], [0, 1])
    folder = classifier.result_.folder
    with pytest.warns(UserWarning, match="give output= to choose a lasting place"):
        other = copied(classifier)
    copied(classifier)  # said once
    assert "tuned" in vars(classifier.result_)
    assert "tuned" not in vars(other.result_)  # the path, not the weights
    del classifier
    gc.collect()
    assert other.result_.folder == folder
    assert folder.is_dir()


def test_pickle_with_a_folder_of_its_own_says_nothing(
    searches: list[dict[str, Any]], tmp_path: Path
) -> None:
    regressor = AutoPeftRegressor("m", output=tmp_path / "run").fit(["x", "y"], [0.5, 1])
    other = pickle.loads(pickle.dumps(regressor))
    assert other.result_.folder == tmp_path / "run"
    assert other.get_params() == regressor.get_params()


def test_model_has_to_be_given() -> None:
    with pytest.raises(ConfigError, match="no model is given"):
        AutoPeftClassifier().fit(["x", "y", "z"], [0, 1, 0])


def made_up(rows: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Return texts that say good or bad somewhere, and 1 or 0."""
    rng = random.Random(seed)
    labels = np.arange(rows) % 2
    texts = []
    for label in labels:
        words = [f"w{rng.randrange(93)}" for _ in range(4)]
        words.insert(rng.randrange(5), ("bad", "good")[label])
        texts.append(" ".join(words))
    return texts, labels


@pytest.fixture
def settings(tiny_folder: Callable[[str], Path], tmp_path: Path) -> dict[str, Any]:
    """Return the parameters of a search that takes seconds and learns."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    return {"model": tiny_folder("bert"), "space": space, "trials": 3}


@pytest.mark.slow
def test_classifier_learns_and_comes_back_from_a_pickle(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    texts, numbers = made_up(120)
    labels = np.array(["bad", "good"])[numbers]
    pipeline = Pipeline(
        [
            ("lower", FunctionTransformer(lambda texts: [text.lower() for text in texts])),
            ("tuned", AutoPeftClassifier(**settings, output=tmp_path / "run")),
        ]
    )
    pipeline.fit([text.upper() for text in texts], labels)
    unseen, answers = made_up(40, seed=1)
    assert pipeline.score(unseen, np.array(["bad", "good"])[answers]) > 0.9
    classifier = pipeline["tuned"]
    assert classifier.result_.choice.method in ("full", "lora")
    chance = classifier.predict_proba(unseen)
    assert np.allclose(chance.sum(axis=1), 1.0, atol=1e-6)
    again = pickle.loads(pickle.dumps(classifier))
    assert np.allclose(again.predict_proba(unseen), chance, atol=1e-6)
    assert list(again.predict(unseen)) == list(pipeline.predict(unseen))


@pytest.mark.slow
def test_cross_validation_with_integer_labels(settings: dict[str, Any], tmp_path: Path) -> None:
    texts, labels = made_up(160)
    classifier = AutoPeftClassifier(**settings, output=tmp_path / "run")
    scores = cross_val_score(classifier, texts, labels * 7 - 3, cv=2)
    assert min(scores) > 0.8
    assert (tmp_path / "run-2" / "best").is_dir()  # each fold has a folder of its own


@pytest.mark.slow
def test_regressor_learns_from_pairs(settings: dict[str, Any]) -> None:
    texts, labels = made_up(160)
    regressor = AutoPeftRegressor(**settings, within="0")
    regressor.fit([(text, "w1 w2") for text in texts], labels * 4.0 - 1.0)
    unseen, answers = made_up(40, seed=1)
    predicted = regressor.predict([(text, "w1 w2") for text in unseen])
    assert predicted[answers == 1].mean() - predicted[answers == 0].mean() > 2.0
    assert regressor.result_.choice.metric == "pearson"
