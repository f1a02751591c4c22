"""From what a worker reports to a `TrialRecord`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.api.pool import Job
from autopeft.records import Cause, Costs, RungPoint, TrialRecord, TrialState


def artifact_folder(number: int, seed: int) -> Path:
    """Return where a trial's weights are kept, relative to the run folder."""
    return Path("trials") / f"{number}-{seed}"


def record_finished(job: Job, outcome: Mapping[str, Any], origin: str) -> TrialRecord:
    """Return the record of a training that came to its end or was stopped at a rung."""
    stopped = outcome["stopped"]
    return TrialRecord(
        number=job.number,
        candidate=job.candidate,
        seed=job.seed,
        state=TrialState.STOPPED if stopped else TrialState.COMPLETE,
        origin=origin,
        costs=Costs(**outcome["costs"]),
        curve=tuple(RungPoint(**point) for point in outcome["curve"]),
        score=None if stopped else outcome["score"],
        metrics=outcome["metrics"],
        message=outcome["message"],
        artifact=None if stopped else str(artifact_folder(job.number, job.seed)),
        cut_share=outcome["cut_share"],
    )


def record_failed(
    job: Job, cause: Cause, message: str, origin: str, trainable_params: int
) -> TrialRecord:
    """Return the record of a training that failed."""
    return TrialRecord(
        number=job.number,
        candidate=job.candidate,
        seed=job.seed,
        state=TrialState.FAILED,
        origin=origin,
        costs=Costs(trainable_params=trainable_params),
        cause=cause,
        message=message,
    )
