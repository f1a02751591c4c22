"""One candidate trained outside any search."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from autopeft.api.opened import Opened
from autopeft.api.pool import Job
from autopeft.api.trials import show_progress
from autopeft.errors import NoCandidateError
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.report.screen import Screen


def train_alone(
    opened: Opened, candidate: Candidate, artifact: Path, name: str
) -> Mapping[str, Any]:
    """Train a candidate to the end and return what `autopeft.train.session.Session.pack` tells.

    Args:
        opened: the run whose data and workers are used; `Opened.narrowed` came first.
        candidate: what to train.
        artifact: folder for what is trained.
        name: what it is called on the screen.

    Raises:
        NoCandidateError: the training failed.
    """
    watcher = _One(opened.screen, name)
    job = Job(
        number=0, candidate=candidate, seed=opened.config.seed, rungs=(1.0,), artifact=artifact
    )
    opened.train(job, watcher)
    assert watcher.outcome is not None
    return watcher.outcome


class _One:
    """Waits for the outcome of one training."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen, self._name = screen, name
        self.outcome: Mapping[str, Any] | None = None

    def started(self, job: Job) -> None:
        del job
        self._screen.phase("training")

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        show_progress(self._screen, job, share, examples_per_second)

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        return points

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        self.outcome = outcome
        seconds = outcome["costs"]["train_seconds"]
        said = f"{self._name:<8}{outcome['score']:.4f} in {seconds:.0f} s"
        self._screen.done(job.number, said)

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        raise NoCandidateError(f"{job.candidate.describe()} failed: {cause.value}: {message}")
