"""Means with their spread, and differences with their standard error."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return median, mean, standard deviation (None for one value), lowest and highest."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "low": min(values),
        "high": max(values),
    }


def paired(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float | None]:
    """Return the mean of the differences ours − theirs and its standard error.

    Args:
        ours: one value per repeat.
        theirs: the other's value of the same repeat.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    many = len(differences) > 1
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if many else None
    return {"mean": statistics.fmean(differences), "standard_error": error}


def plus_minus(mean: float, error: float | None, digits: int = 4) -> str:
    """Return ``mean ± error`` as text; the error is left out where there is none."""
    return f"{mean:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
