"""The trials of a run, kept in its Optuna study: what was proposed, measured and concluded.

A trial carries user attributes:

    proposal      candidate, seed, origin, params, trainable_params; written in one piece before the
                  training begins. A trial that repeats another says which (retry_of): one that was
                  lost, and how often it was begun (attempts) and its worker died (deaths), or one
                  that was stopped (second_chance)
    curve/<rung>  one `RungPoint` each
    record        the `TrialRecord`, written before the study is told
    gates         of a mixture: ``layer``, ``part``, ``mean`` and ``spread`` of each gate
    discarded     why it was never trained: a duplicate, or over a budget
    not begun     that it was handed to nobody when the run was interrupted

Study attributes ``replicate/<number>/<seed>`` hold further runs of finalists, where TPE does not
see them.

What Optuna is told: a finished trial is COMPLETE with (score, log10(1 + parameters)); a stopped one
PRUNED; a failed one COMPLETE at the worst score *and* infeasible, so that TPE leaves its region and
no front shows it; a lost one (see `recover`) FAIL, which TPE does not see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autopeft.errors import RunFolderError
from autopeft.records import REFERENCES, Candidate, Cause, Costs, RungPoint, TrialRecord, TrialState

if TYPE_CHECKING:
    import optuna

MAX_ATTEMPTS = 3
"""How often a candidate is begun when its *supervisor* is killed, which says nothing against it."""

_NOT_BEGUN = "not begun"


class TrialStore:
    """Trials of one study; the study is the only place where they are kept.

    Args:
        study: an Optuna study with the directions (score, log10(1 + parameters)).
    """

    def __init__(self, study: optuna.Study) -> None:
        import optuna

        self.study = study
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)  # whoever asks sets their own

    def all(self) -> list[optuna.trial.FrozenTrial]:
        """Return every trial of the study, discarded and lost ones included."""
        trials: list[optuna.trial.FrozenTrial] = self.study.get_trials(deepcopy=False)
        return trials

    def standing(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that count: neither discarded nor begun again."""
        attributes = ((t, t.user_attrs) for t in self.all())
        trials = [t for t, known in attributes if "proposal" in known and "discarded" not in known]
        again = {t.user_attrs["proposal"].get("retry_of") for t in trials}
        return [t for t in trials if t.number not in again]

    def records(self) -> list[TrialRecord]:
        """Return one record per trial that counts and was begun, in the order of their numbers."""
        return [record_of(t) for t in self.standing() if not waiting(t)]

    def superseded(self) -> list[TrialRecord]:
        """Return the records of attempts that were lost or stopped, and begun again."""
        trials = [t for t in self.all() if "proposal" in t.user_attrs]
        again = {t.user_attrs["proposal"].get("retry_of") for t in trials}
        begun = [t for t in trials if _NOT_BEGUN not in t.user_attrs]
        return [record_of(t) for t in begun if t.number in again]

    def point(self, number: int, point: RungPoint) -> None:
        """Keep what was measured at a rung."""
        self.note(number, f"curve/{point.rung}", dataclasses.asdict(point))

    def note(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        with study_errors():
            self._handle(number).set_user_attr(key, value)

    def enqueue(self, proposal: Mapping[str, Any]) -> None:
        """Put a proposal in the queue that the next ask takes from."""
        attributes = {"proposal": dict(proposal)}
        with study_errors():
            self.study.enqueue_trial(dict(proposal["params"]), user_attrs=attributes)

    def give_second_chance(self, number: int) -> None:
        """Put a trial that was stopped in the queue again; the new attempt takes its place.

        No rung stops it again. One that the clock cut before its first rung is compared as usual.
        """
        trial = self.all()[number]
        again = {**trial.user_attrs["proposal"], "retry_of": number}
        self.enqueue(again | ({"second_chance": True} if record_of(trial).curve else {}))

    def has_second_chance(self, number: int) -> bool:
        """Return whether a trial is another's second attempt, which no rung stops."""
        return "second_chance" in self.all()[number].user_attrs["proposal"]

    def keep(self, key: str, value: Any) -> None:
        """Set a user attribute of the study."""
        with study_errors():
            self.study.set_user_attr(key, value)

    def replicate(self, record: TrialRecord) -> None:
        """Keep a further run of a finalist: the same candidate with another seed."""
        self.keep(f"replicate/{record.number}/{record.seed}", record.to_json())

    def replicates(self, number: int) -> list[TrialRecord]:
        """Return the further runs of a finalist, by seed."""
        return self.all_replicates().get(number, [])

    def all_replicates(self) -> dict[int, list[TrialRecord]]:
        """Return the further runs of all finalists, by trial and seed."""
        attributes: Mapping[str, Any] = self.study.user_attrs
        found = [
            TrialRecord.from_json(v) for k, v in attributes.items() if k.startswith("replicate/")
        ]
        runs: dict[int, list[TrialRecord]] = {}
        for record in sorted(found, key=lambda record: (record.number, record.seed)):
            runs.setdefault(record.number, []).append(record)
        return runs

    def conclude(self, record: TrialRecord) -> bool:
        """Keep a trial's record, then tell Optuna; return whether it is to be begun again.

        A trial whose worker died is begun again once; one that was interrupted, until it was begun
        `MAX_ATTEMPTS` times, the references always.
        """
        from optuna.trial import TrialState as OptunaState

        if not record.curve:
            record = dataclasses.replace(record, curve=curve_of(self.all()[record.number]))
        self.note(record.number, "record", record.to_json())
        again = record.state is TrialState.FAILED and self._begin_again(record)
        if again or record.cause is Cause.INTERRUPTED:
            self._tell(record.number, OptunaState.FAIL, None)
        elif record.state is TrialState.COMPLETE:
            assert record.score is not None
            size = math.log10(1 + record.costs.trainable_params)
            self._tell(record.number, OptunaState.COMPLETE, [record.score, size])
        elif record.state is TrialState.STOPPED:
            self._tell(record.number, OptunaState.PRUNED, None)
        else:
            self._constrain(record.number, "failed", 1.0)
            size = math.log10(1 + record.costs.trainable_params)
            self._tell(record.number, OptunaState.COMPLETE, [self._worst(), size])
        return again

    def discard(
        self, number: int, reason: str, *, question: int, excess: float | None = None
    ) -> None:
        """Give up a trial that was never begun.

        Args:
            number: of the trial.
            reason: for people.
            question: how many trials had been proposed when it was asked for.
            excess: by how much it is over a budget, so that TPE learns where the budget ends; None
                for a duplicate, which says nothing against its region.
        """
        why = {"reason": reason, "question": question, "excess": excess}
        self.note(number, "discarded", why)
        self._discard(number, excess)

    def not_begun(self, number: int) -> None:
        """Note that a proposal was handed to nobody: `recover` does not count it as lost."""
        self.note(number, _NOT_BEGUN, True)

    def discarded(self, question: int) -> list[str]:
        """Return why answers to a question were discarded, one after the other."""
        whys = [t.user_attrs["discarded"] for t in self.all() if "discarded" in t.user_attrs]
        return [why["reason"] for why in whys if why["question"] == question]

    def recover(self) -> list[TrialRecord]:
        """Settle what a dead supervisor left RUNNING; return the records of what was lost.

        Only the holder of the folder's lock may call it. A trial whose record was already written
        is concluded from it; every other is failed as interrupted and put in the queue again. So is
        what was lost before and then not begun again for want of time, and, without counting as
        lost, what is noted as `not_begun`. Each step can itself be cut short: the next `recover`
        takes up where it stopped.
        """
        from optuna.trial import TrialState as OptunaState

        lost = [one for one in self.records() if self._was_lost(one) and self._begin_again(one)]
        for trial in self.all():
            if trial.state != OptunaState.RUNNING:
                continue
            if "proposal" not in trial.user_attrs:  # cut short while being asked or discarded
                self._discard(trial.number, trial.user_attrs.get("discarded", {}).get("excess"))
                continue
            if _NOT_BEGUN in trial.user_attrs:
                self._put_back(trial)
                continue
            record = record_of(trial)
            if record.state is TrialState.RUNNING:
                record = interrupted(record)
            if self.conclude(record) or record.cause is Cause.INTERRUPTED:
                lost.append(record)
        return lost

    def _put_back(self, trial: optuna.trial.FrozenTrial) -> None:
        """Let a proposal wait in the queue again, as it was."""
        from optuna.trial import TrialState as OptunaState

        if trial.number in {t.number for t in self.standing()}:
            self.enqueue({**trial.user_attrs["proposal"], "retry_of": trial.number})
        self._tell(trial.number, OptunaState.FAIL, None)

    def _was_lost(self, record: TrialRecord) -> bool:
        """Return whether a trial that is settled was lost, be it to a signal or with its worker."""
        lost = record.cause in (Cause.INTERRUPTED, Cause.WORKER_DIED)
        return lost and self.all()[record.number].state.is_finished()

    def _begin_again(self, record: TrialRecord) -> bool:
        trials = self.standing()
        if record.number not in {t.number for t in trials}:
            return True  # queued before this was cut short
        proposal = self.all()[record.number].user_attrs["proposal"]
        attempts, deaths = proposal.get("attempts", 1), proposal.get("deaths", 0)
        if record.cause is Cause.WORKER_DIED:
            allowed, deaths = deaths == 0, deaths + 1
        else:
            allowed = record.cause is Cause.INTERRUPTED and (
                attempts < MAX_ATTEMPTS or record.origin in REFERENCES
            )
        if allowed:
            counts = {"attempts": attempts + 1, "deaths": deaths, "retry_of": record.number}
            self.enqueue({**proposal, **counts})
        return bool(allowed)

    def _discard(self, number: int, excess: float | None) -> None:
        from optuna.trial import TrialState as OptunaState

        if excess is None:
            self._tell(number, OptunaState.FAIL, None)
        else:
            self._constrain(number, "budget", excess)
            self._tell(number, OptunaState.PRUNED, None)

    def _constrain(self, number: int, key: str, value: float) -> None:
        handle = self._handle(number)
        if key not in handle.constraints:
            handle.set_constraint(key, value)

    def _handle(self, number: int) -> optuna.Trial:
        import optuna

        return optuna.Trial(self.study, self.all()[number]._trial_id)

    def _tell(self, number: int, state: Any, values: list[float] | None) -> None:
        with study_errors():
            self.study.tell(number, values, state=state)

    def _worst(self) -> float:
        from optuna.study import StudyDirection

        return -math.inf if self.study.directions[0] == StudyDirection.MAXIMIZE else math.inf


@contextlib.contextmanager
def study_errors() -> Iterator[None]:
    """Turn what the study's storage says when it cannot write into a `RunFolderError`."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        cause = error.__cause__ or error
        raise RunFolderError(
            f"cannot write the study: {str(cause).splitlines()[0]}; free some space and give the "
            "same command again. Earlier results are intact."
        ) from error


def waiting(trial: optuna.trial.FrozenTrial) -> bool:
    """Return whether a trial is queued and not begun."""
    return str(trial.state.name) == "WAITING"


def record_of(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    """Return the record of a trial; one that has none yet is RUNNING."""
    if "record" in trial.user_attrs:
        return TrialRecord.from_json(trial.user_attrs["record"])
    proposal = trial.user_attrs["proposal"]
    return TrialRecord(
        number=trial.number,
        candidate=Candidate.from_json(proposal["candidate"]),
        seed=proposal["seed"],
        state=TrialState.RUNNING,
        origin=proposal["origin"],
        costs=Costs(trainable_params=proposal["trainable_params"]),
        curve=curve_of(trial),
    )


def curve_of(trial: optuna.trial.FrozenTrial) -> tuple[RungPoint, ...]:
    """Return the rung points of a trial, finished or not, in order."""
    points = [RungPoint(**v) for k, v in trial.user_attrs.items() if k.startswith("curve/")]
    return tuple(sorted(points, key=lambda point: point.rung))


def interrupted(record: TrialRecord) -> TrialRecord:
    """Return the record of a trial whose supervisor was killed."""
    return dataclasses.replace(
        record,
        state=TrialState.FAILED,
        cause=Cause.INTERRUPTED,
        message="the run was interrupted while this trial was running",
    )
