"""Metrics: direction and range said once, one vectorised definition for scores and resamples.

Every metric takes integer weights (B, N), one row per resample: how often each example was drawn.
A score is the case of one row of ones, so the bootstrap and the printed number never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autopeft.registry import Registry

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[Any]

_CHUNK = 2_000_000  # weights held as floats at once
_TINY = 1e-12  # variances below this share of the mean square are rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What the program knows of a metric.

    Args:
        name: as used on the command line.
        description: one phrase.
        higher_is_better: its direction.
        low: smallest possible value.
        high: largest possible value.
        needs: ``categorical`` (class numbers) or ``numeric`` targets and predictions.
        function: from targets (N,), predictions (N,) and weights (B, N), the scores (B,).
    """

    name: str
    description: str
    higher_is_better: bool
    low: float
    high: float
    needs: Literal["categorical", "numeric"]
    function: Callable[[Values, Values, Floats], Floats]


METRICS: Registry[MetricInfo] = Registry("metric", "autopeft.tasks", see="autopeft tasks")


def score(name: str, targets: Values, predictions: Values) -> float:
    """Return the metric of predictions (N,) for targets (N,); always finite.

    >>> score("accuracy", np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    0.75

    Raises:
        UnknownNameError: there is no such metric.
        ValueError: lengths differ, there are no rows, or a value is not finite.
    """
    return float(resampled(name, targets, predictions, np.ones((1, len(targets)), np.int64))[0])


def untrained_score(name: str, seen: Values, targets: Values) -> float:
    """Return the score of a model that learnt nothing: the commonest class, or the mean, for all.

    Args:
        name: of the metric.
        seen: the targets that it knows.
        targets: those that it is scored on.

    Raises:
        UnknownNameError: there is no such metric.
    """
    classes = METRICS.get(name).needs == "categorical"
    constant = np.bincount(seen).argmax() if classes else seen.mean(dtype=np.float64)
    return score(name, targets, np.full(len(targets), constant))


def resampled(
    name: str, targets: Values, predictions: Values, weights: npt.NDArray[np.integer[Any]]
) -> Floats:
    """Return the metric on B weighted resamples of the same N rows; always finite.

    Shapes:
        targets (N,); predictions (N,); weights (B, N), counts with a positive sum in each row;
        result (B,).

    Raises:
        UnknownNameError: there is no such metric.
        ValueError: shapes disagree, there are no rows, or a value is not finite.
    """
    info = METRICS.get(name)
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    size = len(targets)
    if not size or predictions.shape != (size,) or weights.shape[1:] != (size,):
        raise ValueError(
            f"targets {targets.shape}, predictions {predictions.shape} and weights "
            f"{weights.shape} must be (N,), (N,) and (B, N) with N > 0"
        )
    if info.needs == "numeric":
        targets, predictions = targets.astype(np.float64), predictions.astype(np.float64)
        if not (np.isfinite(targets).all() and np.isfinite(predictions).all()):
            raise ValueError(f"{name} needs finite targets and predictions")
    step = max(1, _CHUNK // size)
    parts = [
        info.function(targets, predictions, weights[start : start + step].astype(np.float64))
        for start in range(0, len(weights), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _accuracy(targets: Values, predictions: Values, weights: Floats) -> Floats:
    right: Floats = weights @ (targets == predictions).astype(np.float64)
    return np.asarray(right / weights.sum(axis=1))


def _counts(targets: Values, predictions: Values, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Return hits, targets and predictions of each of C classes: three arrays (B, C)."""
    classes, codes = np.unique(np.concatenate([targets, predictions]), return_inverse=True)
    true, predicted = codes[: len(targets)], codes[len(targets) :]
    hit = true == predicted
    return (
        _grouped(weights[:, hit], true[hit], len(classes)),
        _grouped(weights, true, len(classes)),
        _grouped(weights, predicted, len(classes)),
    )


def _grouped(weights: Floats, groups: Ints, count: int) -> Floats:
    """Sum the columns of weights (B, N) by their group (N,): (B, count)."""
    sums = np.zeros((len(weights), count))
    if len(groups):
        order = np.argsort(groups, kind="stable")
        present, starts = np.unique(groups[order], return_index=True)
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums


def _macro_f1(targets: Values, predictions: Values, weights: Floats) -> Floats:
    """Mean F1 over the classes that occur in targets or predictions, as in scikit-learn."""
    hits, true, predicted = _counts(targets, predictions, weights)
    both = true + predicted
    f1 = 2 * hits / np.maximum(both, 1)
    return np.asarray(f1.sum(axis=1) / (both > 0).sum(axis=1))


def _mcc(targets: Values, predictions: Values, weights: Floats) -> Floats:
    """Matthews correlation for any number of classes (Gorodkin, 2004); 0 if undefined."""
    hits, true, predicted = _counts(targets, predictions, weights)
    total = weights.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (true * predicted).sum(axis=1)
    spread_true = total**2 - (true**2).sum(axis=1)
    spread_predicted = total**2 - (predicted**2).sum(axis=1)
    scale = np.sqrt(spread_true * spread_predicted)
    return np.asarray(np.where(scale > 0, covariance / np.where(scale > 0, scale, 1), 0.0))


def _correlation(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Weighted Pearson correlation; 0 where a side is constant.

    Shapes:
        x and y (B, N) or (1, N); weights (B, N); result (B,).
    """
    total = weights.sum(axis=1)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.einsum("bn,bn->b", weights, np.broadcast_to(values, weights.shape)))

    mean_x, mean_y = mean(x) / total, mean(y) / total
    square_x, square_y = mean(x * x) / total, mean(y * y) / total
    var_x, var_y = square_x - mean_x**2, square_y - mean_y**2
    varies = (var_x > _TINY * square_x) & (var_y > _TINY * square_y)
    scale = np.sqrt(np.where(varies, var_x, 1)) * np.sqrt(np.where(varies, var_y, 1))
    covariance = mean(x * y) / total - mean_x * mean_y
    return np.where(varies, np.clip(covariance / scale, -1, 1), 0.0)


def _standard(values: Floats) -> Floats:
    """Centre and scale, so that moments neither cancel nor overflow: (1, N)."""
    largest = np.abs(values).max()
    centred = values / largest if largest > 0 else values
    centred = centred - centred.mean()
    spread = np.abs(centred).max()
    # What is left of a constant after centring is rounding, not variation.
    return np.asarray(centred / spread if spread > _TINY else centred * 0)[None, :]


def _pearson(targets: Values, predictions: Values, weights: Floats) -> Floats:
    return _correlation(_standard(targets), _standard(predictions), weights)


def _midranks(values: Values, weights: Floats) -> Floats:
    """Return the rank of each value in each resample, ties sharing their mean rank: (B, N)."""
    distinct, groups = np.unique(values, return_inverse=True)
    sizes = _grouped(weights, groups, len(distinct))
    below = np.cumsum(sizes, axis=1) - sizes
    ranks = below + (sizes + 1) / 2 - (weights.sum(axis=1, keepdims=True) + 1) / 2
    return np.asarray(ranks[:, groups])


def _spearman(targets: Values, predictions: Values, weights: Floats) -> Floats:
    return _correlation(_midranks(targets, weights), _midranks(predictions, weights), weights)


def _rmse(targets: Values, predictions: Values, weights: Floats) -> Floats:
    error = targets - predictions
    largest = np.abs(error).max()
    unit = largest if largest > 0 else 1.0
    mean: Floats = weights @ (error / unit) ** 2 / weights.sum(axis=1)
    return np.asarray(unit * np.sqrt(mean))


for _info in (
    MetricInfo(
        name="accuracy",
        description="share of examples whose class is right",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        needs="categorical",
        function=_accuracy,
    ),
    MetricInfo(
        name="macro-f1",
        description="F1 of each class, averaged with every class counting the same",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        needs="categorical",
        function=_macro_f1,
    ),
    MetricInfo(
        name="mcc",
        description="Matthews correlation of classes; 0 is chance, also with unequal classes",
        higher_is_better=True,
        low=-1.0,
        high=1.0,
        needs="categorical",
        function=_mcc,
    ),
    MetricInfo(
        name="pearson",
        description="linear correlation of numbers",
        higher_is_better=True,
        low=-1.0,
        high=1.0,
        needs="numeric",
        function=_pearson,
    ),
    MetricInfo(
        name="spearman",
        description="correlation of ranks",
        higher_is_better=True,
        low=-1.0,
        high=1.0,
        needs="numeric",
        function=_spearman,
    ),
    MetricInfo(
        name="rmse",
        description="root mean squared error, in units of the label",
        higher_is_better=False,
        low=0.0,
        high=math.inf,
        needs="numeric",
        function=_rmse,
    ),
):
    METRICS.register(_info)
