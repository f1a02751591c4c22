"""The finalists' further seeds, and the choice among them."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autopeft.api.pool import Job, Pack, Pool
from autopeft.api.record import artifact_folder, record_failed, record_finished
from autopeft.api.sitting import FINALISTS, REPLICATES, Sitting
from autopeft.api.trials import outcome_line, show_progress
from autopeft.api.weights import whole
from autopeft.records import Cause, RungPoint, TrialRecord
from autopeft.search.bootstrap import Replicate
from autopeft.search.finalist import Choice, Finalist
from autopeft.search.select import choose
from autopeft.search.space import Space
from autopeft.store import TrialStore
from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS, resampled
from autopeft.tasks.problem import Problem

PERCENT = ("accuracy", "macro-f1")
"""Metrics that people read as percentages."""

_MARGIN_OF_A_PACK = 1.2  # cut short, a pack loses all that it holds


class Finals:
    """Trains the finalists again under other seeds, as far as time allows.

    One seed goes round all finalists before the next begins, so that a short time limit costs all
    of them alike. Where not even one further seed of each fits, the best of them get it.
    """

    def __init__(self, sitting: Sitting) -> None:
        self._sitting, self._clock, self._screen = sitting, sitting.clock, sitting.screen
        self._size = FINALISTS
        self._again: set[tuple[int, int]] = set()
        self.skipped = 0

    def run(self, pool: Pool) -> None:
        """Train what is missing; a replicate that failed is not tried again."""
        self._size = self._affordable()
        if self._size < min(FINALISTS, len(self._sitting.finalists())):
            self._screen.say(
                f"choice  time for further seeds of {self._size} of at most {FINALISTS} finalists"
            )
        missing = list(self._missing(self._size))
        if missing:
            self._screen.phase("replicates of the finalists", len(missing))
            pool.run(self._packs(missing), self)

    def finalists(self) -> list[TrialRecord]:
        """Return the finalists, the best score first, the references last."""
        return self._sitting.finalists(self._size)

    def _affordable(self) -> int:
        """Return how many finalists can all have a further seed in the time left."""
        left = self._clock.left_seconds
        for count in range(FINALISTS, 1, -1):
            jobs = self._further(_rivals(self._sitting.finalists(count)), seeds=2)
            needed = sum(self._clock.estimate_seconds(job.candidate) or 0.0 for job in jobs)
            if left is None or needed <= left:
                return count
        return 1

    def _missing(self, count: int) -> Iterator[Job]:
        """Yield what is still to be trained: first what was, and whose weights are damaged.

        The head alone comes last, and only if it is itself among the best.
        """
        final = self._sitting.finalists(count)
        for record in final:
            for run in (record, *self._sitting.trials.replicates(record.number)):
                if run.artifact is not None and not whole(self._sitting.folder / run.artifact):
                    yield self._job(record, run.seed)
        rivals = _rivals(final)
        yield from self._further(rivals, REPLICATES)
        yield from self._further([r for r in final[:count] if r not in rivals], REPLICATES)

    def _further(self, records: list[TrialRecord], seeds: int) -> Iterator[Job]:
        """Yield what the records lack of `seeds`, one seed round all before the next."""
        for shift in range(1, seeds):
            for record in records:
                replicates = self._sitting.trials.replicates(record.number)
                if record.seed + shift not in {replicate.seed for replicate in replicates}:
                    yield self._job(record, record.seed + shift)

    def _job(self, record: TrialRecord, seed: int) -> Job:
        if seed == record.seed:
            self._again.add((record.number, seed))
        return Job(
            number=record.number,
            candidate=record.candidate,
            seed=seed,
            rungs=(1.0,),
            artifact=self._sitting.folder / artifact_folder(record.number, seed),
        )

    def _packs(self, missing: list[Job]) -> Iterator[Pack]:
        """Yield what fits in the time left; those of one seed share a pass where they can."""
        waiting = list(missing)
        while waiting:
            first = waiting.pop(0)
            if not self._clock.fits(first.candidate):
                self.skipped += 1
                continue
            pack = [first]
            for job in list(waiting):
                if len(pack) < self._sitting.pack_size and self._joins(job, pack):
                    waiting.remove(job)
                    pack.append(job)
            yield [replace(job, limit_seconds=self._clock.left_seconds) for job in pack]

    def _joins(self, job: Job, pack: list[Job]) -> bool:
        """Return whether a job can share the pass of others, and there is time for all."""
        key = self._sitting.pack_key(job.candidate)
        together = [one.candidate for one in (*pack, job)]
        return (
            key is not None
            and job.seed == pack[0].seed
            and key == self._sitting.pack_key(pack[0].candidate)
            and self._sitting.pack_fits(together)
            and self._clock.fits(*together, margin=_MARGIN_OF_A_PACK)
        )

    def started(self, job: Job) -> None:
        self._screen.training(_key(job), job.candidate.describe(), 0.0, f"seed {job.seed}")

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        show_progress(self._screen, _key(job), job, share, examples_per_second)

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        return points

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        if outcome["stopped"]:  # by the clock: says nothing of the candidate
            self.skipped += 1
            self._screen.done(_key(job), f"{job.number:>3}  seed {job.seed}: no time left")
        else:
            self._keep(job, record_finished(job, outcome, "replicate"))

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        self._keep(job, record_failed(job, cause, message, "replicate", 0))

    def _keep(self, job: Job, record: TrialRecord) -> None:
        if (job.number, job.seed) in self._again:  # the trial has its record; its weights were lost
            self._screen.say(
                f"warning: the weights of trial {job.number} were damaged: trained again"
            )
        else:
            self._sitting.trials.replicate(record)
        if record.artifact is None:
            shutil.rmtree(job.artifact, ignore_errors=True)
        self._sitting.save()
        self._screen.done(_key(job), f"{outcome_line(record)}, seed {job.seed}")


def decide(
    final: list[TrialRecord],
    trials: TrialStore,
    folder: Path,
    problem: Problem,
    space: Space,
    *,
    targets: np.ndarray,
    train_targets: np.ndarray,
    within: str,
    references_eligible: bool,
    seed: int,
) -> Choice:
    """Choose among the finalists by the selection split; see `autopeft.search.select.choose`.

    Args:
        final: the finalists.
        trials: holds their replicates.
        folder: the run folder, with every replicate's outputs on the selection split.
        problem: task and metric.
        space: what was searched.
        targets: of the selection split.
        train_targets: of the training split, for the score of a model that learnt nothing.
        within: how far below the best the choice may be.
        references_eligible: whether the default and the head alone may be chosen where the space
            does not hold their methods.
        seed: of the resampling.
    """
    task, metric = TASKS.get(problem.task), METRICS.get(problem.metric)

    def predictions(record: TrialRecord) -> np.ndarray:
        assert record.artifact is not None
        outputs = np.load(folder / record.artifact / "selection.npy", allow_pickle=False)
        return task.predictions(outputs)

    def finalist(record: TrialRecord) -> Finalist:
        runs = [record, *trials.replicates(record.number)]
        return Finalist(
            number=record.number,
            label=record.candidate.describe(),
            origin=record.origin,
            trainable_params=record.costs.trainable_params,
            fingerprint=record.candidate.fingerprint,
            artifact_bytes=record.costs.artifact_bytes,
            latency_seconds=record.costs.latency_seconds,
            eligible=references_eligible or record.candidate.method in space.methods,
            replicates=tuple(
                Replicate(seed=run.seed, score=_score(run), predictions=predictions(run))
                for run in runs
                if run.artifact is not None and whole(folder / run.artifact)
            ),
        )

    return choose(
        [made for made in map(finalist, final) if made.replicates],
        lambda predicted, weights: resampled(problem.metric, targets, predicted, weights),
        rows=len(targets),
        higher_is_better=metric.higher_is_better,
        within=within,
        floor=untrained_score(problem, train_targets, targets),
        percent=problem.metric in PERCENT,
        seed=seed,
    )


def untrained_score(problem: Problem, train_targets: np.ndarray, targets: np.ndarray) -> float:
    """Return the score of the majority class, or of the mean, of the training split."""
    if TASKS.get(problem.task).categorical:
        constant = np.bincount(train_targets).argmax()
    else:
        constant = train_targets.mean()
    weights = np.ones((1, len(targets)), dtype=np.int64)
    predicted = np.full(len(targets), constant)
    return float(resampled(problem.metric, targets, predicted, weights)[0])


def _score(record: TrialRecord) -> float:
    assert record.score is not None
    return record.score


def _rivals(final: list[TrialRecord]) -> list[TrialRecord]:
    """Return the finalists without the head alone."""
    return [record for record in final if record.origin != "head"]


def _key(job: Job) -> int:
    return job.number * 100 + job.seed % 100
