"""Metrics agree with scikit-learn and scipy; resamples agree with scores; nothing is NaN."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from autopeft.errors import UnknownNameError
from autopeft.tasks.metric import METRICS, resampled, score, untrained_score


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else float(value)


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": reference.accuracy_score,
    "macro-f1": lambda t, p: reference.f1_score(t, p, average="macro", zero_division=0),
    "mcc": reference.matthews_corrcoef,
    "pearson": lambda t, p: _or_zero(stats.pearsonr(t, p).statistic),
    "spearman": lambda t, p: _or_zero(stats.spearmanr(t, p).statistic),
    "rmse": lambda t, p: reference.root_mean_squared_error(t, p),
}

tables = st.integers(2, 30).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(0, 4), min_size=size, max_size=size),
        st.lists(st.integers(0, 4), min_size=size, max_size=size),
        st.integers(0, 2**32 - 1),
    )
)


def test_every_metric_has_a_reference() -> None:
    assert set(METRICS.names()) == set(REFERENCES)


@pytest.mark.parametrize("name", REFERENCES)
@settings(deadline=None)
@given(table=tables)
def test_agrees_with_the_reference_on_tables_with_ties(
    name: str, table: tuple[list[int], list[int], int]
) -> None:
    targets, predictions = np.array(table[0]), np.array(table[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the references warn where ours is defined as 0
        expected = REFERENCES[name](targets, predictions)
    assert score(name, targets, predictions) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", REFERENCES)
@settings(deadline=None)
@given(table=tables)
def test_resample_equals_the_score_of_repeated_rows(
    name: str, table: tuple[list[int], list[int], int]
) -> None:
    targets, predictions = np.array(table[0]), np.array(table[1])
    size = len(targets)
    weights = np.random.default_rng(table[2]).multinomial(size, np.full(size, 1 / size), size=5)
    found = resampled(name, targets, predictions, weights)
    for counts, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(size), counts)
        assert value == pytest.approx(score(name, targets[rows], predictions[rows]), abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e200])
def test_correlation_survives_offsets_and_units(name: str, offset: float, unit: float) -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=200)
    predictions = targets + rng.normal(size=200)
    expected = REFERENCES[name](targets, predictions)
    moved = (targets * 1e3 + offset) * unit
    assert score(name, moved, predictions * unit) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("constant", [0, 1, 3])
@pytest.mark.parametrize("name", ["mcc", "pearson", "spearman"])
def test_constant_predictions_correlate_zero(name: str, constant: int) -> None:
    targets = np.array([0, 1, 2, 1, 0, 2])
    assert score(name, targets, np.full(6, constant)) == 0.0
    assert score(name, np.full(6, constant), targets) == 0.0


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 123456.789])
def test_rounding_of_a_constant_is_not_variation(value: float) -> None:
    targets = np.random.default_rng(0).normal(size=1_000)
    assert score("pearson", targets, np.full(1_000, value)) == 0.0


def test_macro_f1_is_over_classes_in_targets_or_predictions() -> None:
    targets, predictions = np.array([0, 0, 1]), np.array([0, 2, 1])
    assert score("macro-f1", targets, predictions) == pytest.approx((2 / 3 + 1 + 0) / 3)


@pytest.mark.parametrize("name", REFERENCES)
def test_one_row_is_finite(name: str) -> None:
    assert np.isfinite(score(name, np.array([1]), np.array([2])))


@pytest.mark.parametrize("name", REFERENCES)
def test_scores_stay_within_the_declared_range(name: str) -> None:
    rng = np.random.default_rng(0)
    info = METRICS.get(name)
    for _ in range(50):
        value = score(name, rng.integers(0, 3, 9), rng.integers(0, 3, 9))
        assert info.low <= value <= info.high


@pytest.mark.parametrize("name", REFERENCES)
def test_right_predictions_are_best_in_the_declared_direction(name: str) -> None:
    info, targets = METRICS.get(name), np.array([0, 1, 2, 3, 1])
    best = score(name, targets, targets)
    assert best == pytest.approx(info.high if info.higher_is_better else info.low)


def test_two_thousand_resamples_are_fast() -> None:
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 100, 5_000), rng.integers(0, 100, 5_000)
    weights = rng.multinomial(5_000, np.full(5_000, 1 / 5_000), size=2_000)
    for name in METRICS.names():
        start = time.process_time()
        resampled(name, targets, predictions, weights)
        assert time.process_time() - start < 5, name


def test_untrained_score_is_of_the_majority_or_the_mean() -> None:
    assert untrained_score("accuracy", np.array([1, 1, 0]), np.array([1, 0, 0, 0])) == 0.25
    assert untrained_score("rmse", np.array([1.0, 3.0]), np.array([2.0, 5.0])) == pytest.approx(
        np.sqrt(4.5)
    )


def test_misuse_is_told() -> None:
    numbers = np.array([1.0, 2.0])
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        score("acuracy", numbers, numbers)
    with pytest.raises(ValueError, match="must be"):
        score("accuracy", numbers, np.array([1.0]))
    with pytest.raises(ValueError, match="must be"):
        score("accuracy", np.array([]), np.array([]))
    with pytest.raises(ValueError, match="finite"):
        score("rmse", numbers, np.array([1.0, np.nan]))
