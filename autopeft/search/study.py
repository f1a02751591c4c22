"""The search: what to train next, who goes on at a rung, what became of each trial.

It knows nothing of training: whoever evaluates pulls proposals and reports back.

    search = Search(trials=run.trials(higher_is_better=True), space=space, higher_is_better=True)
    while (proposal := search.propose()) is not None:
        record = train(proposal, go_on=lambda point: search.rung({proposal.number: point}))
        search.finished(record)

Everything is read from the study at every step, so a search that is killed at any moment goes on
where it stood. One process, one thread.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopeft.errors import NoCandidateError
from autopeft.records import (
    REFERENCES,
    Candidate,
    Cause,
    RungPoint,
    TrialRecord,
    TrialState,
    fingerprint,
)
from autopeft.search import thrift
from autopeft.search.compare import Compare, SecondChances, goes_on, second_chances
from autopeft.search.front import size
from autopeft.search.portfolio import portfolio, references
from autopeft.search.rungs import SHARES
from autopeft.search.sampler import asking
from autopeft.search.space import Space
from autopeft.store import TrialStore
from autopeft.store.trials import waiting

if TYPE_CHECKING:
    import optuna

HOPELESS = 3
"""A method that failed so often and never did anything else is not proposed again."""

MAX_ANSWERS = 64
"""Answers of the sampler to one question before the space counts as exhausted."""


Guided = Callable[[Sequence[TrialRecord]], Iterable[Candidate]]


def unguided(_records: Sequence[TrialRecord]) -> Iterable[Candidate]:
    """Propose nothing."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to train next.

    Args:
        number: the trial's number in the study.
        candidate: what to train.
        seed: of head and adapter initialisation, dropout and data order.
        origin: ``default``, ``head``, ``portfolio``, ``guide`` or ``tpe``.
        protected: whether it is trained to the end whatever its score.
        rungs: shares of the training steps at which to report.
        trainable_params: without the head.
        alone: whether to train it with no other, because a worker that trained it died.
    """

    number: int
    candidate: Candidate
    seed: int
    origin: str
    protected: bool
    rungs: tuple[float, ...]
    trainable_params: int
    alone: bool = False


class Search:
    """Proposes candidates of a space and keeps what became of them.

    Args:
        trials: the run's trials; what an interrupted run left there is recovered, see `lost`.
        space: narrowed to the backbone and the budget.
        higher_is_better: the metric's direction.
        seed: of the run: the same seed proposes the same candidates for the same results.
        max_trials: total over all resumes; None for no limit.
        rungs: shares of the training steps at which trials are compared, see `rungs_of`.
        limit: from a candidate, why it is over a budget that the space does not know (memory), or
            None if it is not.
        first: what is tried after the references, before the sampler is asked; by default
            `portfolio.portfolio`.
        compare: says at a rung whether a trial goes on; by default `compare.goes_on`.
        second: says which of the stopped trials are begun again and trained to the end; by default
            `compare.second_chances`.
        guide: from all records, what is tried after `first`; by default nothing. The same records
            give the same candidates: it is asked again whenever a run goes on.
        price: by which the sampler's suggestions are thinned, see `autopeft.search.thrift`; None if
            they are not.

    Attributes:
        lost: records of trials that were running when the run was interrupted.
        ended: why there is nothing more to propose; None while there is.
    """

    def __init__(
        self,
        *,
        trials: TrialStore,
        space: Space,
        higher_is_better: bool,
        seed: int = 0,
        max_trials: int | None = None,
        rungs: tuple[float, ...] = SHARES,
        limit: Callable[[Candidate], str | None] | None = None,
        first: Sequence[Candidate] | None = None,
        compare: Compare = goes_on,
        second: SecondChances = second_chances,
        guide: Guided = unguided,
        price: thrift.Price | None = None,
    ) -> None:
        self.trials = trials
        self.space = space
        self.ended: str | None = None
        self._higher_is_better = higher_is_better
        self._seed = seed
        self._max_trials = max_trials
        self._rungs = rungs
        self._limit = limit or (lambda _candidate: None)
        self._compare = compare
        self._second_chances = second
        self._guide = guide
        self._price = price
        self._first = portfolio(space) if first is None else list(first)
        self.lost = trials.recover()

    def candidates(self) -> Iterator[Proposal]:
        """Yield proposals until there is nothing more to propose; see `propose`."""
        while (proposal := self.propose()) is not None:
            yield proposal

    def propose(self) -> Proposal | None:
        """Return what to train next, None if there is nothing: `ended` says why.

        In this order: trials that were lost, those that were stopped and would now go on, the
        default, the head alone, the portfolio, what the guide says, suggestions of the sampler. A
        trial whose worker dies after this returned None is queued again: ask once more when all
        workers are idle.

        Raises:
            NoCandidateError: every candidate is over the budget.
        """
        standing = self.trials.standing()
        if any(map(waiting, standing)):
            return self._take(len(standing))
        stopped = self._second_chances(self.trials.records(), self._higher_is_better)
        if stopped:
            self.trials.give_second_chance(stopped[0])
            return self._take(len(standing))
        if self._max_trials is not None and len(standing) >= self._max_trials:
            self.ended = f"all {self._max_trials} trials are done"
            return None
        for origin, candidate in self._planned(standing):
            self.trials.enqueue(self._proposal(candidate, origin))
            return self._take(len(standing))
        return self._sample(standing)

    @property
    def proposed(self) -> int:
        """How many trials were proposed, those in the queue included."""
        return len(self.trials.standing())

    @property
    def queued(self) -> bool:
        """Whether trials wait in the queue to be begun again."""
        return any(waiting(trial) for trial in self.trials.standing())

    def withdraw(self, number: int) -> None:
        """Take back a proposal that was not begun."""
        self.trials.discard(number, "there was no time left for it", question=-1)

    def rung(self, points: Mapping[int, RungPoint]) -> set[int]:
        """Keep what trials report at a rung, and return the numbers of those that go on.

        Trials that arrive together are all kept before any is judged, so each is compared with
        the others.
        """
        for number, point in points.items():
            self.trials.point(number, point)
        records = self.trials.records()
        return {
            number
            for number, point in points.items()
            if point.share >= 1.0
            or self.trials.has_second_chance(number)
            or self._compare(number, point, records, self._higher_is_better)
        }

    def finished(self, record: TrialRecord) -> bool:
        """Keep the record of a trial before anything else; return whether it is begun again.

        A trial that claims to be complete without a finite score is recorded as failed.
        """
        complete = record.state is TrialState.COMPLETE
        if complete and (record.score is None or not math.isfinite(record.score)):
            record = dataclasses.replace(
                record,
                state=TrialState.FAILED,
                cause=Cause.NON_FINITE,
                message=f"the score is {record.score}",
            )
        return self.trials.conclude(record)

    def _planned(self, standing: list[optuna.trial.FrozenTrial]) -> Iterator[tuple[str, Candidate]]:
        """Yield what is tried before anything is learnt and was not tried yet."""
        origins = {trial.user_attrs["proposal"]["origin"] for trial in standing}
        known = _fingerprints(standing)
        for origin, candidate in references(self.space).items():
            if origin not in origins and self._limit(candidate) is None:
                yield origin, candidate
        for candidate in self._first:
            if candidate.fingerprint not in known and self._limit(candidate) is None:
                yield "portfolio", candidate
        for candidate in self._guide(self.trials.records()):
            if candidate.fingerprint not in known and self._limit(candidate) is None:
                yield "guide", candidate

    def _take(self, proposed: int) -> Proposal:
        """Begin the first trial of the queue."""
        with asking(self.trials.study, seed=self._seed, proposed=proposed, attempt=0) as trial:
            proposal = trial.user_attrs["proposal"]
            candidate = Candidate.from_json(proposal["candidate"])
            if proposal["params"]:
                self.space.suggest(trial)
        begun = self._begun(trial.number, candidate, proposal["origin"], proposal["seed"])
        return dataclasses.replace(begun, alone=bool(proposal.get("deaths")))

    def _sample(self, standing: list[optuna.trial.FrozenTrial]) -> Proposal | None:
        """Ask the sampler until its answer is new, can be trained and is within the budget."""
        question = len(standing)
        known = {f: t.number for t in standing for f in _fingerprints([t])}
        hopeless = hopeless_of(self.trials.records())
        reasons = self.trials.discarded(question)
        for attempt in range(len(reasons), MAX_ANSWERS):
            with asking(
                self.trials.study, seed=self._seed, proposed=question, attempt=attempt
            ) as trial:
                candidate = self.space.suggest(trial)
            excess, reason = self._over(candidate, hopeless)
            if candidate.fingerprint in known:
                excess, reason = None, f"the same as trial {known[candidate.fingerprint]}"
            elif reason is None and self._is_too_dear(candidate, question, attempt):
                excess, reason = None, "takes long, and it was the turn of something cheap"
            if reason is None:
                proposal = self._proposal(candidate, "tpe") | {"params": trial.params}
                self.trials.note(trial.number, "proposal", proposal)
                return self._begun(trial.number, candidate, "tpe", self._seed)
            reasons.append(reason)
            self.trials.discard(trial.number, reason, question=question, excess=excess)
        self.ended = (
            f"the space is exhausted: {MAX_ANSWERS} suggestions in a row were no use "
            f"({reasons[-1]})"
        )
        if not standing:
            raise NoCandidateError(f"no candidate of the space is within the budget: {reasons[-1]}")
        return None

    def _is_too_dear(self, candidate: Candidate, question: int, attempt: int) -> bool:
        if self._price is None:
            return False
        most = thrift.most(seed=self._seed, question=question, attempt=attempt)
        return self._price(candidate) > most

    def _over(self, candidate: Candidate, hopeless: set[str]) -> tuple[float | None, str | None]:
        """Return by how much a candidate is out of bounds, and why; None if it is not."""
        reason = self.space.infeasible(candidate)
        if reason is not None:
            return 1.0, reason
        budget, count = self.space.max_params, self.space.count(candidate)
        if budget is not None and count > budget:
            return size(count) - size(budget), f"trains {count:,} parameters of {budget:,} allowed"
        if candidate.method in hopeless:
            return 1.0, f"every {candidate.method} failed"
        return 1.0, self._limit(candidate)

    def _proposal(self, candidate: Candidate, origin: str) -> dict[str, object]:
        return {
            "candidate": candidate.to_json(),
            "seed": self._seed,
            "origin": origin,
            "params": self.space.encode(candidate) if candidate in self.space else {},
            "trainable_params": self.space.count(candidate),
        }

    def _begun(self, number: int, candidate: Candidate, origin: str, seed: int) -> Proposal:
        return Proposal(
            number=number,
            candidate=candidate,
            seed=seed,
            origin=origin,
            protected=origin in REFERENCES,
            rungs=self._rungs,
            trainable_params=self.space.count(candidate),
        )


def hopeless_of(records: list[TrialRecord]) -> set[str]:
    """Return the methods that failed `HOPELESS` times or more and never did anything else."""
    failed: Counter[str] = Counter()
    for record in records:
        if record.cause is not Cause.INTERRUPTED:
            fault = record.state is TrialState.FAILED
            failed[record.candidate.method] += 1 if fault else -len(records)
    return {method for method, count in failed.items() if count >= HOPELESS}


def _fingerprints(trials: list[optuna.trial.FrozenTrial]) -> set[str]:
    return {fingerprint(trial.user_attrs["proposal"]["candidate"]) for trial in trials}
