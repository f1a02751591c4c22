"""The leaderboard of a run: its trials, best first, as rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from autopeft.errors import UnknownNameError
from autopeft.records import TrialRecord, TrialState

SHOWN = (
    *("name", "front", "score", "seeds", "mean", "spread", "trainable_params", "head_params"),
    *("artifact_bytes", "peak_memory_bytes", "train_seconds", "latency_seconds"),
    *("state", "cause", "candidate"),
)
"""Columns for people, where there is room."""

BRIEF = (
    *("name", "front", "score", "seeds", "mean", "spread", "trainable_params", "train_seconds"),
    *("state", "candidate"),
)
"""Those that a terminal is wide enough for."""

_ORDER = {TrialState.COMPLETE: 0, TrialState.STOPPED: 1, TrialState.FAILED: 2}


def leaderboard(
    records: Sequence[TrialRecord],
    *,
    metric: str,
    higher_is_better: bool,
    front: Sequence[int],
    replicates: Mapping[int, Sequence[TrialRecord]] | None = None,
) -> list[dict[str, object]]:
    """Return one row per trial: finished ones by score, then stopped ones, then failures.

    Args:
        records: of one run.
        metric: its name.
        higher_is_better: its direction.
        front: numbers of the trials on the Pareto front.
        replicates: further seeds of finalists, by the number of the trial.
    """
    further = replicates or {}
    sign = -1.0 if higher_is_better else 1.0

    def rank(record: TrialRecord) -> tuple[int, float, int, int]:
        score = record.last_score
        return (
            _ORDER.get(record.state, 3),
            float("inf") if score is None else sign * score,
            record.costs.trainable_params,
            record.number,
        )

    return [
        _row(record, metric, front, further.get(record.number, ()))
        for record in sorted(records, key=rank)
    ]


def merged(
    boards: Mapping[str, Sequence[dict[str, object]]], *, higher_is_better: bool
) -> list[dict[str, object]]:
    """Return the rows of several runs as one, by state and score; each says its run.

    Args:
        boards: the rows of each run, by its name.
        higher_is_better: the direction of the metric that all have.
    """
    sign = -1.0 if higher_is_better else 1.0
    rows = [
        {"name": row["name"], "run": run, **row} for run, board in boards.items() for row in board
    ]

    def rank(row: Mapping[str, object]) -> tuple[int, float]:
        score = row["score"]
        return (
            _ORDER.get(TrialState(str(row["state"])), 3),
            sign * score if isinstance(score, float) else math.inf,
        )

    return sorted(rows, key=rank)


def arranged(
    rows: Sequence[dict[str, object]], front: bool, sort: str | None, descending: bool = False
) -> list[dict[str, object]]:
    """Return the rows on their run's front only, or in the order of another column.

    Args:
        rows: of one run or several.
        front: whether rows that something smaller beats are left out.
        sort: a column.
        descending: whether the largest come first.

    Raises:
        UnknownNameError: there is no such column.
    """
    kept = [row for row in rows if row["front"] or not front]
    if sort is None or not kept:
        return kept
    if sort not in kept[0]:
        raise UnknownNameError("column", sort, list(kept[0]), where="--sort")
    return sorted(kept, key=lambda row: by_value(row[sort], descending))


def reading(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return how the rows are to be read, a paragraph each."""
    if not rows:
        return ["Nothing to show."]
    return [
        f"Scores are {rows[0]['metric']} of the selection split: “score” of the trial's own seed, "
        "or the last one before it was stopped; “mean” and “spread”, one standard deviation, over "
        "its seeds. On the front is what no trial with as few trained parameters equals."
    ]


def by_value(value: object, descending: bool = False) -> tuple[int, float, str]:
    """Return a sorting key: numbers from small to large, then texts, then what is missing.

    Args:
        value: of a cell.
        descending: whether numbers go from large to small.
    """
    if isinstance(value, int | float):
        return (0, -float(value) if descending else float(value), "")
    return (2, 0.0, "") if value in (None, "") else (1, 0.0, str(value))


def _row(
    record: TrialRecord, metric: str, front: Sequence[int], further: Sequence[TrialRecord]
) -> dict[str, object]:
    candidate, costs = record.candidate, record.costs
    scores = [one.score for one in (record, *further) if one.score is not None]
    return {
        "name": f"trial {record.number}",
        "method": candidate.method,
        "candidate": candidate.describe(),
        "state": record.state.value,
        "front": record.number in front,
        "metric": metric,
        "score": record.last_score,
        "seeds": len(scores),
        "mean": statistics.fmean(scores) if scores else None,
        "spread": statistics.stdev(scores) if len(scores) > 1 else None,
        "share_trained": record.curve[-1].share if record.curve else None,
        "trainable_params": costs.trainable_params,
        "head_params": costs.head_params,
        "artifact_bytes": costs.artifact_bytes,
        "peak_memory_bytes": costs.peak_memory_bytes,
        "train_seconds": costs.train_seconds,
        "latency_seconds": costs.latency_seconds,
        "origin": record.origin,
        "seed": record.seed,
        "cause": None if record.cause is None else record.cause.value,
        "message": record.message,
    }
