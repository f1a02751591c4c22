"""The search's trials on the pool: each proposal becomes a job, each outcome a record."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from autopeft.api.cohort import Cohorts
from autopeft.api.interrupt import Interrupted
from autopeft.api.pool import Job, Pack, Pool
from autopeft.api.record import artifact_folder, record_failed, record_finished
from autopeft.api.sitting import FINALISTS, REPLICATES, Sitting
from autopeft.api.weights import remove_leftovers
from autopeft.records import REFERENCES, Cause, RungPoint, TrialRecord, TrialState
from autopeft.report.screen import Screen
from autopeft.search.convergence import COHORT, outlook
from autopeft.search.study import Proposal, Search

_PART_OF_A_REFERENCE = 0.25

_PART_OF_A_PACK = 0.5


class Trials:
    """Runs the search phase and keeps only the weights that may still be delivered.

    Args:
        search: proposes and decides.
        sitting: what the phases of a run share.
        until_converged: whether to end where further trials are expected to add next to nothing.
    """

    def __init__(self, search: Search, sitting: Sitting, *, until_converged: bool = False) -> None:
        self._search, self._sitting = search, sitting
        self._until_converged = until_converged
        self._clock, self._screen = sitting.clock, sitting.screen
        self._proposals: dict[int, Proposal] = {}
        self._cohorts = Cohorts(search, sitting.pack_key, sitting.pack_fits)
        self._out_of_time = False
        for record in sitting.trials.records():
            self._learn(record)

    @property
    def goes_on(self) -> bool:
        """Whether it ended for want of time and now there is time for another trial."""
        return self._out_of_time and not self._is_too_late(self._search_seconds())

    def run(self, pool: Pool) -> None:
        """Train proposals until the budget is used or the space is exhausted.

        After a race that took less time than was set aside for it, this may be done again.
        """
        kept = {record.number for record in self._sitting.in_line()}
        remove_leftovers(self._sitting.folder, self._sitting.trials, kept)
        try:
            while pool.run(self._packs(), self):
                pass  # a worker that died after the last proposal may have queued its trial again
        except Interrupted:
            self._cohorts.leave()
            raise

    def _begin_a_cut_reference_again(self) -> None:
        """Queue a reference that an earlier limit cut short, if there is now time for all of it.

        Everybody is compared with it. One that has raced stays as it is. It is asked for at once,
        so that it can be taken back.
        """
        raced = self._sitting.trials.all_replicates()
        for record in self._sitting.trials.records():
            cut = record.origin in REFERENCES and record.cut_share is not None
            if cut and record.number not in raced and self._clock.fits(record.candidate):
                self._sitting.trials.give_second_chance(record.number)
                self._screen.say(
                    f"search  trial {record.number} was cut at {record.cut_share:.0%} by the time "
                    "limit: there is time for all of it now"
                )
                return

    def _packs(self) -> Iterator[Pack]:
        while True:
            left = self._search_seconds()
            self._out_of_time = self._is_too_late(left)
            if self._out_of_time:
                self._cohorts.give_up()
                return
            if not self._cohorts.begun and not self._search.queued:
                self._begin_a_cut_reference_again()
            if self._until_converged and self._converged():
                return
            proposals = self._cohorts.pack(self._affordable(left))
            if not proposals:
                return
            yield [self._job(proposal, left) for proposal in proposals]

    def _converged(self) -> bool:
        """Return whether to end; looked at between cohorts, lest many looks find it by chance."""
        if self._cohorts.begun or self._search.queued or self._search.proposed % COHORT:
            return False
        found = outlook(
            self._sitting.trials.records(), higher_is_better=self._sitting.higher_is_better
        )
        return found is not None and found.converged

    def _job(self, proposal: Proposal, left: float | None) -> Job:
        self._proposals[proposal.number] = proposal
        return Job(
            number=proposal.number,
            candidate=proposal.candidate,
            seed=proposal.seed,
            rungs=proposal.rungs,
            artifact=self._sitting.folder / artifact_folder(proposal.number, proposal.seed),
            limit_seconds=self._clock.reference_seconds if proposal.protected else left,
            keep=proposal.protected,
            finish_seconds=self._clock.finish_seconds,
        )

    def _affordable(self, left: float | None) -> int:
        """Return how many candidates may share a pass and still come to the end of it in time.

        What a pack has not finished when the time is up is lost, so a pack gets half of it.
        """
        each = self._clock.full_seconds
        if left is None or not each:
            return self._sitting.pack_size
        return max(1, min(self._sitting.pack_size, int(_PART_OF_A_PACK * left / each)))

    def _search_seconds(self) -> float | None:
        """Return what is left for the search when the finalists so far get their replicates.

        The references come before any replicate.
        """
        if self._references_missing():
            return self._clock.left_seconds
        return self._clock.search_seconds(self._aside())

    def _aside(self) -> float:
        """Return what is set aside for further seeds.

        That is nothing before so many trials as there are places among the finalists, the head
        alone not counted: until then another method is worth more than another seed of those. On
        folds further seeds are further rows to be compared on, too.
        """
        begun = [one for one in self._sitting.trials.records() if one.origin != "head"]
        if self._sitting.folds == 1 and len(begun) < FINALISTS:
            return 0.0
        rivals = self._sitting.rivals()
        raced = self._sitting.trials.all_replicates()
        new = [rival for rival in rivals if rival.number not in raced]
        if len(new) == len(rivals):
            return self._aside_for_race(rivals)
        return self._aside_for_newcomer(rivals, new)

    def _aside_for_race(self, rivals: Sequence[TrialRecord]) -> float:
        """Return what all finalists want, if they may have so much.

        On folds a part of a round counts for nothing, so else it is whole ones, of the two best and
        the references at least; elsewhere any share will do.
        """
        each = self._seconds(rivals)
        whole = (REPLICATES - 1) * each
        if self._sitting.folds == 1:
            return self._clock.aside([whole, self._clock.most_aside])
        return self._clock.aside([whole, each, self._seconds(self._sitting.rivals(2))])

    def _aside_for_newcomer(
        self, rivals: Sequence[TrialRecord], new: Sequence[TrialRecord]
    ) -> float:
        """Return what one more finalist needs to be compared with those that have raced.

        On folds who has fewer seeds than the others costs them theirs, so there it is as many, and
        for all newcomers.

        Args:
            rivals: the finalists, of which the slowest takes as long.
            new: those of them that have not raced.
        """
        slowest = max(self._seconds([rival]) for rival in rivals)
        if self._sitting.folds == 1:
            return slowest
        return (REPLICATES - 1) * (self._seconds(new) + slowest)

    def _seconds(self, records: Sequence[TrialRecord]) -> float:
        return self._sitting.seconds(record.candidate for record in records)

    def _is_too_late(self, left: float | None) -> bool:
        """Return whether no further trial is begun in the time left for the search.

        A reference that is cut short is kept, so a part of the usual time will do for it.
        """
        part = _PART_OF_A_REFERENCE if self._references_missing() else 1.0
        return left is not None and left <= self._clock.typical_seconds * part

    def _references_missing(self) -> bool:
        """Return whether a reference has not ended, be it in training or still to be handed out."""
        records = self._sitting.trials.records()
        ended = {record.origin for record in records if record.state is not TrialState.RUNNING}
        known = (trial.user_attrs["proposal"] for trial in self._sitting.trials.standing())
        going = {proposal["origin"] for proposal in known} - ended
        return len(records) < len(REFERENCES) or not going.isdisjoint(REFERENCES)

    def started(self, job: Job) -> None:
        self._screen.training(job.number, job.candidate.describe(), 0.0, "")

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        show_progress(self._screen, job, share, examples_per_second)

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        return self._search.rung(points)

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        if "scoring_seconds" in outcome:
            self._clock.scored(outcome["scoring_seconds"])
        if outcome.get("gates"):
            self._sitting.trials.note(job.number, "gates", outcome["gates"])
        self._keep(job, record_finished(job, outcome, self._proposals[job.number].origin))

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        proposal = self._proposals[job.number]
        record = record_failed(job, cause, message, proposal.origin, proposal.trainable_params)
        self._keep(job, record)

    def _keep(self, job: Job, record: TrialRecord) -> None:
        second = self._sitting.trials.has_second_chance(job.number)
        second &= record.origin not in REFERENCES  # which no rung has stopped
        again = self._search.finished(record)
        self._sitting.save()
        self._sitting.tell(record)
        self._learn(record)
        if record.artifact is None:
            shutil.rmtree(job.artifact, ignore_errors=True)
        self._remove_losers()
        line = outcome_line(record)
        line += " – a second chance, as it would now go on" if second else ""
        line += " – will be tried once more" if again else ""
        self._screen.done(job.number, line)

    def _learn(self, record: TrialRecord) -> None:
        seconds, share = record.costs.train_seconds, record.cut_share
        if share is None and record.curve:
            share = record.curve[-1].share
        if seconds is not None and share is not None:
            self._clock.measured(record.candidate, seconds, share)

    def _remove_losers(self) -> None:
        """Delete the weights of trials that will hardly be finalists any more."""
        kept = {record.artifact for record in self._sitting.in_line()}
        for record in self._sitting.trials.records():
            if record.artifact is not None and record.artifact not in kept:
                shutil.rmtree(self._sitting.folder / record.artifact, ignore_errors=True)


def show_progress(
    screen: Screen, job: Job, share: float, examples_per_second: float, seed: int | None = None
) -> None:
    """Show how far a job is, and how fast its whole pack; see `Screen.training` for the seed."""
    note = f"{examples_per_second:.0f} examples/s"
    screen.training(job.number, job.candidate.describe(), share, note, seed)


def outcome_line(record: TrialRecord) -> str:
    """Return a trial's outcome in one line."""
    head = f"{record.number:>3}  {record.candidate.describe()}  "
    size = f"{record.costs.trainable_params:,} parameters"
    if record.cause is not None:
        return f"{head}failed: {record.cause.value}: {record.message}"
    seconds = record.costs.train_seconds
    took = "" if seconds is None else f", {seconds:.0f} s"
    if record.score is None:
        return f"{head}{_ended(record)}, {size}{took}"
    return f"{head}{record.score:.4f}, {size}{took}" + (
        f" ({record.message})" if record.message else ""
    )


def _ended(record: TrialRecord) -> str:
    """Return where a training without a score ended, and of what."""
    last = record.curve[-1] if record.curve else None
    score = "" if last is None else f"{last.score:.4f}"
    if record.cut_share is not None:
        seen = f", after {score} at {last.share:.0%}" if last is not None else ""
        return f"cut at {record.cut_share:.0%} by the time limit{seen}"
    return "stopped" if last is None else f"stopped at {last.share:.0%} with {score}"
