"""The leaderboard of a run: its trials, best first, as rows."""

from __future__ import annotations

from collections.abc import Sequence

from autopeft.records import TrialRecord, TrialState

SHOWN = ("name", "front", "score", "trainable_params", "train_seconds", "state", "candidate")


def leaderboard(
    records: Sequence[TrialRecord], *, metric: str, higher_is_better: bool, front: Sequence[int]
) -> list[dict[str, object]]:
    """Return one row per trial: finished ones by score, then stopped ones, then failures.

    Args:
        records: of one run.
        metric: its name.
        higher_is_better: its direction.
        front: numbers of the trials on the Pareto front.
    """
    order = {TrialState.COMPLETE: 0, TrialState.STOPPED: 1, TrialState.FAILED: 2}
    sign = -1.0 if higher_is_better else 1.0

    def rank(record: TrialRecord) -> tuple[int, float, int, int]:
        score = _last_score(record)
        return (
            order.get(record.state, 3),
            float("inf") if score is None else sign * score,
            record.costs.trainable_params,
            record.number,
        )

    return [_row(record, metric, front) for record in sorted(records, key=rank)]


def _row(record: TrialRecord, metric: str, front: Sequence[int]) -> dict[str, object]:
    candidate, costs = record.candidate, record.costs
    return {
        "name": f"trial {record.number}",
        "method": candidate.method,
        "candidate": candidate.describe(),
        "state": record.state.value,
        "front": record.number in front,
        "metric": metric,
        "score": _last_score(record),
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


def _last_score(record: TrialRecord) -> float | None:
    if record.score is not None:
        return record.score
    return record.curve[-1].score if record.curve else None
