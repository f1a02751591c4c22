"""scikit-learn faces of a search: `AutoPeftClassifier` and `AutoPeftRegressor`.

They keep scikit-learn's conventions: the constructor only stores its parameters, ``fit`` returns
the estimator, what it learnt ends in an underscore, and faults of ``X`` and ``y`` are
``ValueError``. Faults of a setting are errors of ours, raised by ``fit``.

Where the tuned model lives: in ``output`` if that is given, else in a temporary folder that is
removed with the estimator, or with the program. Pickling and deep copying take the path along, not
the weights, so a temporary folder then stays for good, and a warning says where.
"""

# ruff: noqa: N803  (scikit-learn calls it X)

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from autopeft.config import USUAL_WITHIN
from autopeft.errors import DataError
from autopeft.temporary import TemporaryFolder

if TYPE_CHECKING:
    from autopeft.api import SearchResult

__all__ = ["AutoPeftClassifier", "AutoPeftRegressor"]

_NOT_SETTINGS = ("output", "verbose")
_FITTED = "result_"


class _AutoPeft(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: parameters, the search, and where its folder lives."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        metric: str | None = None,
        space: str | None = None,
        methods: Sequence[str] | None = None,
        time_limit: str | float | None = None,
        trials: int | None = None,
        max_params: str | int | None = None,
        max_memory: str | int | None = None,
        within: str = USUAL_WITHIN,
        workers: int | None = None,
        seed: int = 0,
        max_length: int | None = None,
        output: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.metric = metric
        self.space = space
        self.methods = methods
        self.time_limit = time_limit
        self.trials = trials
        self.max_params = max_params
        self.max_memory = max_memory
        self.within = within
        self.workers = workers
        self.seed = seed
        self.max_length = max_length
        self.output = output
        self.verbose = verbose

    def _search(self, columns: dict[str, list[Any]], task: str) -> None:
        """Search, and take over the result; what an earlier fit learnt is kept until then."""
        from autopeft.api import search

        temporary = TemporaryFolder("estimator") if self.output is None else None
        settings = {n: v for n, v in self.get_params(deep=False).items() if n not in _NOT_SETTINGS}
        try:
            self.result_: SearchResult = search(
                columns,
                verbose=self.verbose,
                task=task,
                text="text",
                text_pair="text_pair" if "text_pair" in columns else None,
                label="label",
                output=self.output if temporary is None else temporary.path / "run",
                fork=True,
                **settings,
            )
        except BaseException as fault:
            if temporary is not None:
                temporary.remove()
            if isinstance(fault, DataError):
                raise ValueError(str(fault)) from fault
            raise
        self._give_up_folder()
        if temporary is not None:
            self._folder = temporary

    def _give_up_folder(self) -> None:
        """Remove the temporary folder of an earlier fit."""
        folder = self.__dict__.pop("_folder", None)
        if folder is not None:
            folder.remove()

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters, what was learnt and the path of the tuned model; no weights."""
        state: dict[str, Any] = {**super().__getstate__()}
        folder = state.pop("_folder", None)
        if _FITTED in state:
            state[_FITTED] = dataclasses.replace(self.result_)  # without the loaded model
        if folder is not None and folder.keep():
            warnings.warn(
                f"the tuned model stays in the temporary folder {self.result_.folder}, which the "
                "copy needs; give output= to choose a lasting place",
                stacklevel=2,
            )
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = True  # under a time limit
        return tags

    def _outputs(self, method: str, X: Any) -> np.ndarray:
        """Return what a method of the tuned model gives for texts or pairs."""
        check_is_fitted(self, _FITTED)
        columns = _texts(X)
        about = self.result_.tuned.about
        if ("text_pair" in columns) != (about.text_pair is not None):
            needs = "pairs of texts" if about.text_pair else "one text per row"
            raise ValueError(f"{type(self).__name__} was fitted on {needs}; give X like that")
        return np.asarray(getattr(self.result_.tuned, method)(*columns.values()))


class AutoPeftClassifier(ClassifierMixin, _AutoPeft):  # type: ignore[misc]
    """A classifier of texts, or of pairs of texts, found by a search; see `autopeft.search`.

    The parameters are options of ``autopeft search``.

    Args:
        model: pretrained model: a folder or a hub name. It has to be given before ``fit``.
        metric: metric to choose by; None for accuracy.
        space: search space: the name of a shipped one or a YAML file; ``default`` if None.
        methods: only these methods.
        time_limit: for everything, such as ``"30m"``, or in seconds.
        trials: number of candidates to try; None for 30, or no limit of its own under a time limit.
        max_params: most trained parameters, head apart, such as ``"300k"``.
        max_memory: most memory of a training process, such as ``"2GB"``.
        within: how far below the best the choice may be: ``"0"``, ``"1se"``, ``"2se"``,
            ``"0.5pt"`` or ``"1se,0.5pt"``.
        workers: training processes; None for one per GPU, or one.
        seed: of the splits, the search and the training.
        max_length: longest input in tokens.
        output: run folder; None for a temporary one, see the top of this module. The same data and
            parameters resume the run; others begin one beside it, in ``output-2`` and so on, so
            that cross-validation works.
        verbose: whether to print a line per event.

    Attributes:
        classes_: the distinct values of ``y``, sorted.
        result_: the `SearchResult`: choice, front, records, folder.

    Example:
        classifier = AutoPeftClassifier("roberta-base", time_limit="30m")
        classifier.fit(texts, labels).predict(["a fine film"])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Search for the best model.

        Args:
            X: N texts, or N pairs of texts: a list, an array (N,) or (N, 2), a series, or a frame
                with one or two columns.
            y: N class labels: strings, whole numbers or booleans.

        Raises:
            ValueError: X or y cannot be used.
            AutoPeftError: as `autopeft.search`.
        """
        columns = _texts(X)
        labels = _labels(y, X)
        check_classification_targets(labels)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only ({classes[0]!r}); give examples of another")
        _require_text(columns, classes, codes)
        names = _names(classes)
        task = "pair-classification" if "text_pair" in columns else "text-classification"
        self._search({**columns, "label": [names[code] for code in codes]}, task)
        self.classes_ = classes
        self._names = names
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities (N, C); the columns are in the order of ``classes_``.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: X cannot be used.
        """
        chance = self._outputs("predict_proba", X)
        known = self.result_.tuned.about.labels
        return chance[:, [known.index(name) for name in self._names]]

    def predict(self, X: Any) -> np.ndarray:
        """Return the class (N,) of highest probability, as it stood in ``y``.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: X cannot be used.
        """
        best = self.predict_proba(X).argmax(axis=1)
        predicted: np.ndarray = self.classes_[best]
        return predicted


class AutoPeftRegressor(RegressorMixin, _AutoPeft):  # type: ignore[misc]
    """A regressor on texts, or on pairs of texts, found by a search.

    Parameters and ``result_`` are those of `AutoPeftClassifier`; ``metric`` is Pearson's
    correlation unless given.

    Example:
        regressor = AutoPeftRegressor("roberta-base", time_limit="30m", metric="rmse")
        regressor.fit(pairs, similarities).predict([("a fine film", "a good movie")])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Search for the best model.

        Args:
            X: as for `AutoPeftClassifier`.
            y: N finite numbers.

        Raises:
            ValueError: X or y cannot be used.
            AutoPeftError: as `autopeft.search`.
        """
        columns = _texts(X)
        numbers = _labels(y, X).astype(np.float64)
        if not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise ValueError(f"y[{row}] is {numbers[row]}; give finite numbers")
        self._search({**columns, "label": numbers.tolist()}, "regression")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return a number (N,) per row.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: X cannot be used.
        """
        return self._outputs("predict", X)


def _texts(X: Any) -> dict[str, list[str]]:
    """Return the column ``text``, and ``text_pair`` for pairs.

    Raises:
        ValueError: there are no rows, a row is no text or pair, or rows differ.
    """
    if isinstance(X, (str, bytes)):
        raise ValueError("X is one text; give a list of texts")
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, Sequence):
        raise ValueError(f"X is a {type(X).__name__}; give a list, array or series of texts")
    if not values:
        raise ValueError("X has no rows (0 samples); give at least 1 text")
    rows = [(row,) if isinstance(row, str) else row for row in values]
    for place, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or not all(isinstance(text, str) for text in row):
            raise ValueError(f"X[{place}] is {row!r}; give a text, or a pair of texts")
        if len(row) != len(rows[0]) or len(row) not in (1, 2):
            raise ValueError(f"X[{place}] holds {len(row)} texts; give all rows one, or all two")
    names = ("text", "text_pair")[: len(rows[0])]
    return {name: [str(row[place]) for row in rows] for place, name in enumerate(names)}


def _labels(y: Any, X: Any) -> np.ndarray:
    """Return y as an array (N,) of what it holds.

    Raises:
        ValueError: it is missing, has holes, or not one value per row of X.
    """
    if y is None:
        raise ValueError("y is None; this estimator requires y to be passed")
    dtype = getattr(y, "dtype", None)
    if not isinstance(dtype, np.dtype) and getattr(dtype, "kind", "O") in "biuf":
        y = y.tolist()  # scikit-learn would make floats of the nullable types of pandas
    values = column_or_1d(y, warn=True)
    check_consistent_length(X, values)
    for place, value in enumerate(values.tolist()):
        if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
            raise ValueError(f"y[{place}] is {value!r}; remove the row or give it a value")
    labels: np.ndarray = values
    return labels


def _require_text(columns: dict[str, list[str]], classes: np.ndarray, codes: np.ndarray) -> None:
    """Raise for a class of which no row has its texts; such rows are left out of the training.

    Raises:
        ValueError: names the class.
    """
    whole = [all(text.strip() for text in row) for row in zip(*columns.values(), strict=True)]
    blank = np.setdiff1d(np.arange(len(classes)), codes[np.array(whole)])
    if len(blank):
        raise ValueError(
            f"class {classes.tolist()[blank[0]]!r} has blank texts only; give it others, or remove "
            "its rows"
        )


def _names(classes: np.ndarray) -> list[str]:
    """Return the names under which the classes are searched and delivered, each its own.

    They are the labels as text, or ``class 0``, ``class 1`` … where those would be confused: when
    blank, equal but for spaces, or a word that means a missing value.
    """
    from autopeft.tasks.class_label import NAN_NAMES, class_name

    names = [class_name(value) for value in classes.tolist()]
    unclear = len(set(names)) < len(names) or any(not n or n in NAN_NAMES for n in names)
    return [f"class {place}" for place in range(len(names))] if unclear else names
