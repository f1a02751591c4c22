"""Trials in the study: nothing lost, nothing told wrongly, nothing begun too often."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy

from autopeft.errors import RunFolderError
from autopeft.records import Candidate, Cause, Costs, RungPoint, TrialRecord, TrialState
from autopeft.search.sampler import asking
from autopeft.store import RunFolder, TrialStore
from autopeft.store.trials import MAX_ATTEMPTS

CANDIDATE = Candidate(method="lora", learning_rate=2e-3, epochs=3, knobs={"r": 8})


@pytest.fixture
def trials() -> TrialStore:
    return TrialStore(optuna.create_study(directions=["maximize", "minimize"]))


def begin(trials: TrialStore, origin: str = "tpe") -> int:
    trials.enqueue(
        {
            "candidate": CANDIDATE.to_json(),
            "seed": 0,
            "origin": origin,
            "params": {},
            "trainable_params": 99,
        }
    )
    return int(trials.study.ask().number)


def record(number: int, state: TrialState, origin: str = "tpe", **values: Any) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=CANDIDATE,
        seed=0,
        state=state,
        origin=origin,
        costs=Costs(trainable_params=99),
        **values,
    )


def failed(number: int, cause: Cause, origin: str = "tpe") -> TrialRecord:
    return record(number, TrialState.FAILED, origin, cause=cause, message="made up")


def test_a_finished_trial_is_told_with_both_objectives(trials: TrialStore) -> None:
    number = begin(trials)
    done = record(number, TrialState.COMPLETE, score=0.9, metrics={"accuracy": 0.9})
    trials.conclude(done)
    assert trials.records() == [done]
    assert trials.study.best_trials[0].values == [0.9, 2.0]


def test_the_curve_survives_a_record_without_one(trials: TrialStore) -> None:
    number = begin(trials)
    points = [RungPoint(rung=i, share=(i + 1) / 3, score=0.5, wall_seconds=1.0) for i in range(2)]
    for point in reversed(points):
        trials.point(number, point)
    assert trials.records()[0].state is TrialState.RUNNING
    trials.conclude(record(number, TrialState.STOPPED))
    assert trials.records()[0].curve == tuple(points)
    assert trials.all()[0].state == optuna.trial.TrialState.PRUNED


@pytest.mark.parametrize("cause", [Cause.BUG, Cause.NON_FINITE, Cause.OUT_OF_MEMORY])
def test_a_failure_is_infeasible_and_never_pruned(trials: TrialStore, cause: Cause) -> None:
    number = begin(trials)
    assert not trials.conclude(failed(number, cause))
    told = trials.all()[number]
    assert told.state == optuna.trial.TrialState.COMPLETE
    assert told.values == [-math.inf, 2.0]
    assert told.constraints == {"failed": 1.0}
    assert trials.study.best_trials == []
    assert trials.records()[0].cause is cause


def test_a_candidate_whose_worker_dies_is_begun_again_once(trials: TrialStore) -> None:
    first = begin(trials)
    assert trials.conclude(failed(first, Cause.WORKER_DIED))
    assert trials.records() == []
    assert [r.cause for r in trials.superseded()] == [Cause.WORKER_DIED]
    second = int(trials.study.ask().number)
    assert not trials.conclude(failed(second, Cause.WORKER_DIED))
    assert [r.number for r in trials.records()] == [second]
    assert trials.all()[second].constraints == {"failed": 1.0}
    assert len(trials.all()) == 2


def test_an_interrupted_trial_is_begun_three_times_at_most(trials: TrialStore) -> None:
    begin(trials)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        lost = trials.recover()
        assert [r.cause for r in lost] == [Cause.INTERRUPTED]
        again = [t for t in trials.standing() if t.state.name == "WAITING"]
        assert len(again) == (attempt < MAX_ATTEMPTS)
        if again:
            trials.study.ask()
    assert [r.cause for r in trials.records()] == [Cause.INTERRUPTED]
    assert trials.recover() == []


def test_the_references_are_begun_again_however_often(trials: TrialStore) -> None:
    begin(trials, "default")
    for _ in range(MAX_ATTEMPTS + 3):
        assert len(trials.recover()) == 1
        trials.study.ask()
    assert trials.records()[0].state is TrialState.RUNNING


@pytest.mark.parametrize("cause", [Cause.WORKER_DIED, Cause.INTERRUPTED])
def test_what_there_was_no_time_to_begin_again_is_begun_again_by_the_next_sitting(
    trials: TrialStore, cause: Cause
) -> None:
    first = begin(trials)
    assert trials.conclude(failed(first, cause))
    second = int(trials.study.ask().number)
    trials.discard(second, "there was no time left for it", question=-1)
    assert [r.cause for r in trials.records()] == [cause]
    assert [r.number for r in trials.recover()] == [first]
    assert [t.state.name for t in trials.standing()] == ["WAITING"]
    assert trials.recover() == []
    third = int(trials.study.ask().number)
    proposal = trials.all()[third].user_attrs["proposal"]
    assert (proposal["attempts"], proposal["retry_of"]) == (2, first)
    assert not trials.conclude(failed(third, Cause.WORKER_DIED)) or cause is Cause.INTERRUPTED


def test_what_was_not_begun_waits_as_it_was_and_is_not_lost(trials: TrialStore) -> None:
    begin(trials)
    for _ in range(2 * MAX_ATTEMPTS):
        trials.not_begun(trials.standing()[0].number)
        assert trials.recover() == trials.records() == trials.superseded() == []
        assert [t.state.name for t in trials.standing()] == ["WAITING"]
        trials.study.ask()
    assert "attempts" not in trials.standing()[0].user_attrs["proposal"]
    assert [r.cause for r in trials.recover()] == [Cause.INTERRUPTED]


def test_a_second_chance_that_was_not_begun_is_still_one(trials: TrialStore) -> None:
    first = begin(trials)
    trials.point(first, RungPoint(rung=0, share=1 / 3, score=0.5, wall_seconds=1.0))
    trials.conclude(record(first, TrialState.STOPPED))
    trials.give_second_chance(first)
    trials.not_begun(int(trials.study.ask().number))
    trials.recover()
    assert [t.state.name for t in trials.standing()] == ["WAITING"]
    assert trials.has_second_chance(int(trials.study.ask().number))


def test_what_supervisors_died_of_does_not_count_as_a_workers_death(trials: TrialStore) -> None:
    begin(trials)
    trials.recover()
    second = int(trials.study.ask().number)
    assert trials.conclude(failed(second, Cause.WORKER_DIED))


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.STOPPED])
def test_a_record_that_was_written_is_told_not_repeated(
    trials: TrialStore, state: TrialState
) -> None:
    number = begin(trials)
    done = record(number, state, score=0.8)
    trials.note(number, "record", done.to_json())  # killed right after this
    assert trials.recover() == []
    assert trials.records() == [done]
    assert trials.all()[number].state.is_finished()


def test_recovery_that_is_cut_short_queues_only_once(trials: TrialStore) -> None:
    number = begin(trials)
    lost = failed(number, Cause.INTERRUPTED)
    trials.note(number, "record", lost.to_json())
    proposal = trials.all()[number].user_attrs["proposal"]
    trials.enqueue({**proposal, "attempts": 2, "deaths": 0, "retry_of": number})
    trials.recover()
    trials.recover()
    assert len(trials.all()) == 2
    assert not [t for t in trials.all() if t.state.name == "RUNNING"]


def test_what_was_cut_short_while_being_asked_leaves_no_record(trials: TrialStore) -> None:
    trials.study.ask()
    assert trials.recover() == []
    assert trials.records() == trials.superseded() == []
    assert trials.all()[0].state == optuna.trial.TrialState.FAIL


def test_a_discard_that_was_cut_short_is_completed(trials: TrialStore) -> None:
    number = int(trials.study.ask().number)
    why = {"reason": "too large", "question": 0, "excess": 0.5}
    trials.note(number, "discarded", why)
    trials.recover()
    assert trials.all()[number].state == optuna.trial.TrialState.PRUNED
    assert trials.all()[number].constraints == {"budget": 0.5}
    assert len(trials.discarded(0)) == 1


def test_replicates_are_kept_where_the_sampler_does_not_look(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run", identity={}) as run:
        trials = run.trials(higher_is_better=True)
        number = begin(trials)
        trials.conclude(record(number, TrialState.COMPLETE, score=0.9))
        for seed in (2, 1):
            done = record(number, TrialState.COMPLETE, score=0.8 + seed / 100)
            trials.replicate(TrialRecord.from_json({**done.to_json(), "seed": seed}))
        assert len(trials.all()) == 1
    with RunFolder.open(tmp_path / "run", identity={}) as run:
        again = run.trials(higher_is_better=True)
        assert [r.seed for r in again.replicates(number)] == [1, 2]
        assert again.replicates(7) == []


def test_a_disk_that_fills_up_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run", identity={}) as run:
        trials = run.trials(higher_is_better=True)
        kept = begin(trials)
        trials.conclude(record(kept, TrialState.COMPLETE, score=0.9))
        lost = begin(trials)
        full = ["PRAGMA max_page_count = 1"]  # SQLite's own way to run out of disk
        engine = trials.study._storage._backend.engine
        sqlalchemy.event.listen(engine, "connect", lambda c, _: [c.execute(sql) for sql in full])
        huge = record(lost, TrialState.FAILED, cause=Cause.BUG, message="x" * 1_000_000)
        with pytest.raises(RunFolderError, match=r"disk is full.*Earlier results are intact"):
            trials.conclude(huge)
        with pytest.raises(RunFolderError, match="disk is full"):
            trials.keep("seconds", "x" * 1_000_000)
        with (
            pytest.raises(RunFolderError, match="disk is full"),
            asking(trials.study, seed=0, proposed=1, attempt=0) as trial,
        ):
            trial.set_user_attr("long", "x" * 1_000_000)
        full.clear()
        assert [r.score for r in trials.records()] == [0.9, None]
        assert len(trials.recover()) == 1


@pytest.mark.parametrize("name", ["moved", "with space", "q?x#y%20&z=1"])
def test_a_run_that_was_moved_or_copied_still_opens(tmp_path: Path, name: str) -> None:
    with RunFolder.open(tmp_path / "run", identity={}) as run:
        trials = run.trials(higher_is_better=False)
        number = begin(trials)
        trials.conclude(record(number, TrialState.COMPLETE, score=0.9))
    shutil.copytree(tmp_path / "run", tmp_path / "copy" / name)
    shutil.rmtree(tmp_path / "run")
    with RunFolder.open(tmp_path / "copy" / name, identity={}) as moved:
        kept = moved.trials(higher_is_better=False)
        assert [r.score for r in kept.records()] == [0.9]
        begin(kept)
    for file in moved.path.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()
