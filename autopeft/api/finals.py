"""The finalists' further seeds: a race in rounds."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autopeft.api.judge import Judge
from autopeft.api.packs import take_pack
from autopeft.api.pool import Job, Pack, Pool
from autopeft.api.record import artifact_folder, record_failed, record_finished
from autopeft.api.sitting import FINALISTS, MARGIN_OF_A_PACK, REPLICATES, Sitting
from autopeft.api.trials import outcome_line, show_progress
from autopeft.api.weights import whole
from autopeft.data.folds import fold_of
from autopeft.methods.packing import PackKey
from autopeft.records import Cause, RungPoint, TrialRecord

MOST_SEEDS = 5
"""Seeds that a finalist can have, the search's own included."""


class Finals:
    """Trains the finalists again under other seeds, as far as time allows.

    A round is one seed for all that still race, so that they can share a pass, and so that a short
    time limit costs all of them alike. The first round is for every finalist; who cannot change the
    choice any more drops out for good, and those that can share what is left: as many trainings as
    all finalists with `REPLICATES` seeds each would take. Where not even one further seed of each
    fits, the best of them get it, if they hold all that could be chosen as things stand; else it
    would decide by who was tried again, and all are left as they are.

    Where selection is small, each further seed is trained and scored on another fold
    (`autopeft.data.folds`). Then nobody drops out, and the head alone joins: means over different
    rows could not be compared. A round that the time would cut is not begun.

    Args:
        sitting: what the phases of a run share.
        judge: says who still races.
    """

    def __init__(self, sitting: Sitting, judge: Judge) -> None:
        self._sitting, self._clock, self._screen = sitting, sitting.clock, sitting.screen
        self._judge = judge
        self._size = FINALISTS
        self._again: set[tuple[int, int]] = set()
        self._died: set[tuple[int, int]] = set()
        self._lost: list[Job] = []
        self.skipped = 0

    def run(self, pool: Pool) -> None:
        """Train what is missing; only one whose worker died is tried again, once."""
        affordable = self._affordable()
        if not affordable:
            self._choose_without(pool)
            return
        self._size = affordable
        if self._size < min(FINALISTS, len(self._sitting.finalists())):
            self._screen.say(
                f"choice  time for further seeds of {self._size} of at most {FINALISTS} finalists"
            )
        final = self._sitting.finalists(self._size)
        rivals = self._sitting.rivals(self._size)
        left = (REPLICATES - 1) * len(rivals)
        racing = rivals
        for seeds in range(1, MOST_SEEDS):
            if seeds > 1:
                racing = [r for r in self._racing(rivals, seeds) if r in racing][:left]
            damaged = list(self._damaged(final)) if seeds == 1 else []
            skipped = self.skipped
            jobs = self._lacking(racing, seeds)
            if self._sitting.folds > 1 and not self._all_fit(jobs):
                self.skipped += len(jobs)
                jobs = []
            self._train(pool, [*damaged, *jobs], f"seed {seeds + 1} of the finalists")
            left -= len(racing)
            if not racing or left <= 0 or self.skipped > skipped:
                break
        self._train(
            pool, self._heads(final[: self._size], rivals), "further seeds of the head alone"
        )

    def _choose_without(self, pool: Pool) -> None:
        """Leave the choice to what the search itself has trained."""
        self._screen.say("choice  no time for further seeds of the finalists")
        self._train(pool, list(self._damaged(self.finalists())), "damaged weights again")

    def _racing(self, rivals: list[TrialRecord], seeds: int) -> list[TrialRecord]:
        """Return who still races when all have had so many seeds, the likeliest choice first."""
        if self._sitting.folds > 1:
            return rivals
        undecided = self._judge.undecided(rivals, seeds)
        by_number = {record.number: record for record in rivals}
        if not undecided:
            self._screen.say(f"choice  decided after {seeds} seeds")
        elif len(undecided) < len(rivals):
            self._screen.say(
                f"choice  {len(undecided)} of {len(rivals)} finalists can still change it after "
                f"{seeds} seeds"
            )
        return [by_number[number] for number in undecided]

    def _train(self, pool: Pool, jobs: list[Job], phase: str) -> None:
        if jobs:
            self._screen.phase(phase, len(jobs))
            pool.run(self._packs(jobs, self._sitting.pack_size), self)
            while self._lost:
                lost, self._lost = self._lost, []
                pool.run(self._packs(lost, 1), self)

    def finalists(self) -> list[TrialRecord]:
        """Return the finalists, the best score first, the references last."""
        return self._sitting.finalists(self._size)

    def _affordable(self) -> int:
        """Return of how many finalists all can have a further seed in the time left.

        0 if others could be chosen, too, or have raced already.
        """
        for count in range(FINALISTS, 0, -1):
            rivals = self._sitting.rivals(count)
            lacking = self._lacking(rivals, 1)
            if self._all_fit(lacking):
                left_out = {r.number for r in self._sitting.rivals() if r not in rivals}
                if not left_out:
                    return count
                if left_out & self._sitting.trials.all_replicates().keys():
                    return 0
                if not lacking:
                    return count  # the race that was run stays as it is
                reach = self._judge.within_reach(self._sitting.finalists())
                return count if reach.isdisjoint(left_out) else 0
        return 0

    def _all_fit(self, jobs: Sequence[Job]) -> bool:
        """Return whether there is time for all, alone or in packs."""
        left = self._clock.left_seconds
        return left is None or self._sitting.seconds(job.candidate for job in jobs) <= left

    def _damaged(self, final: list[TrialRecord]) -> Iterator[Job]:
        """Yield what was trained, but whose weights are not whole any more."""
        for record in final:
            for run in (record, *self._sitting.trials.replicates(record.number)):
                if run.artifact is not None and not whole(self._sitting.folder / run.artifact):
                    yield self._job(record, run.seed)

    def _lacking(self, records: list[TrialRecord], shift: int) -> list[Job]:
        """Return the trainings that the records lack of their seed number `shift` after the first.

        One that failed is not tried again.
        """
        jobs = []
        for record in records:
            replicates = self._sitting.trials.replicates(record.number)
            if record.seed + shift not in {replicate.seed for replicate in replicates}:
                jobs.append(self._job(record, record.seed + shift))
        return jobs

    def _heads(self, final: list[TrialRecord], rivals: list[TrialRecord]) -> list[Job]:
        """Return what the head alone lacks; it comes last, and only if it is among the best."""
        heads = [record for record in final if record not in rivals]
        return [job for shift in range(1, REPLICATES) for job in self._lacking(heads, shift)]

    def _job(self, record: TrialRecord, seed: int) -> Job:
        if seed == record.seed:
            self._again.add((record.number, seed))
        return Job(
            number=record.number,
            candidate=record.candidate,
            seed=seed,
            rungs=(1.0,),
            artifact=self._sitting.folder / artifact_folder(record.number, seed),
            fold=fold_of(seed - record.seed, self._sitting.folds),
            finish_seconds=self._clock.finish_seconds,
        )

    def _packs(self, missing: list[Job], most: int) -> Iterator[Pack]:
        """Yield what fits in the time left; at most so many of one seed share a pass."""
        waiting = list(missing)
        while waiting:
            if not self._clock.fits(waiting[0].candidate):
                waiting.pop(0)
                self.skipped += 1
                continue
            pack = take_pack(waiting, most, key=self._key_of, fits=self._fit)
            yield [replace(job, limit_seconds=self._clock.left_seconds) for job in pack]

    def _key_of(self, job: Job) -> tuple[int, PackKey] | None:
        """Return what jobs have in common that can share a pass: the data order too."""
        key = self._sitting.pack_key(job.candidate)
        return None if key is None else (job.seed, key)

    def _fit(self, jobs: Sequence[Job]) -> bool:
        """Return whether there is memory and time for all in one pass."""
        together = [job.candidate for job in jobs]
        return self._sitting.pack_fits(together) and self._clock.fits(
            *together, margin=MARGIN_OF_A_PACK
        )

    def started(self, job: Job) -> None:
        self._screen.training(job.number, job.candidate.describe(), 0.0, "", job.seed)

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        show_progress(self._screen, job, share, examples_per_second, job.seed)

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        return points

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        if outcome["stopped"]:  # by the clock: says nothing of the candidate
            self.skipped += 1
            self._done(job, f"{job.number:>3}  seed {job.seed}: no time left")
        else:
            self._keep(job, record_finished(job, outcome, "replicate"))

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        who = (job.number, job.seed)
        if cause is Cause.WORKER_DIED and who not in self._died:
            self._died.add(who)
            self._lost.append(job)
            again = f"{message} – will be tried once more"
            self._done(job, f"{job.number:>3}  seed {job.seed}: {again}")
            return
        self._keep(job, record_failed(job, cause, message, "replicate", 0))

    def _keep(self, job: Job, record: TrialRecord) -> None:
        if (job.number, job.seed) in self._again:  # the trial has its record; its weights were lost
            self._screen.say(f"choice  the weights of trial {job.number} were gone: trained again")
        else:
            self._sitting.trials.replicate(record)
        if record.artifact is None:
            shutil.rmtree(job.artifact, ignore_errors=True)
        self._sitting.save()
        self._sitting.tell(record)
        self._done(job, f"{outcome_line(record)}, seed {job.seed}")

    def _done(self, job: Job, line: str) -> None:
        self._screen.done(job.number, line, job.seed)
