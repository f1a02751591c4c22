"""The search phase on a pool that only pretends: what is handed out when time is short."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from autopeft.api.clock import Clock
from autopeft.api.interrupt import Interrupted
from autopeft.api.pool import Job
from autopeft.api.sitting import FINALISTS, Sitting
from autopeft.api.trials import Trials, outcome_line
from autopeft.methods.packing import PackKey, pack_key
from autopeft.records import Candidate, Costs, RungPoint, TrialRecord, TrialState
from autopeft.report.screen import SilentScreen
from autopeft.search.convergence import COHORT
from autopeft.search.load import load_space
from autopeft.search.portfolio import hand_made
from autopeft.search.study import Search
from autopeft.store import TrialStore
from tests.search.made_up import backbone

GATES = [{"layer": 0, "part": "lora", "mean": 0.7, "spread": 0.1}]
EACH = 10.0
"""Seconds that a training takes, in a pack or not."""


class MadeUpPool:
    """Finishes every job after its time on a made-up clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.packs: list[list[str]] = []
        self.limits: dict[str, float | None] = {}

    def run(self, packs: Iterator[Sequence[Job]], watcher: Trials) -> int:
        count = 0
        for pack in packs:
            count += 1
            self.packs.append([job.candidate.method for job in pack])
            for job in pack:
                self.limits.setdefault(job.candidate.method, job.limit_seconds)
                watcher.started(job)
                self.now += EACH
                gates = GATES if job.candidate.method == "lora" else []
                score = 0.6 if job.candidate.method == "head_only" else 0.7
                watcher.finished(job, outcome(score) | {"gates": gates})
        return count


def outcome(score: float) -> dict[str, Any]:
    point = {"rung": 0, "share": 1.0, "score": score, "wall_seconds": EACH}
    return {
        "stopped": False,
        "message": "",
        "cut_share": None,
        "curve": [point],
        "score": score,
        "metrics": {"accuracy": score},
        "costs": {"trainable_params": 5, "train_seconds": EACH},
    }


def key(candidate: Candidate) -> PackKey | None:
    return pack_key(candidate, backbone())


def searched(
    folder: Path, seconds: float, *args: float, **options: Any
) -> tuple[MadeUpPool, TrialStore]:
    """Search once; the arguments are those of `prepared`."""
    trials, pool, sitting = prepared(folder, seconds, *args, **options)
    trials.run(pool)  # type: ignore[arg-type]
    return pool, sitting.trials


def prepared(
    folder: Path,
    seconds: float,
    expected: float = EACH,
    *,
    until_converged: bool = False,
    folds: int = 1,
    finish: float = 0.0,
    store: TrialStore | None = None,
    pool: MadeUpPool | None = None,
) -> tuple[Trials, MadeUpPool, Sitting]:
    pool = pool or MadeUpPool()
    store = store or TrialStore(optuna.create_study(directions=["maximize", "minimize"]))
    clock = Clock(limit_seconds=seconds, now=lambda: pool.now)
    clock.delivery_seconds, clock.expected_seconds = 0.0, expected
    clock.finish_seconds = finish
    space = load_space("quick").restrict(shape=backbone())
    first = list(hand_made(space))
    search = Search(trials=store, space=space, higher_is_better=True, first=first)
    sitting = Sitting(
        trials=store,
        clock=clock,
        screen=SilentScreen(),
        folder=folder,
        higher_is_better=True,
        save=lambda: None,
        pack_size=4,
        pack_key=key,
        folds=folds,
    )
    return Trials(search, sitting, until_converged=until_converged), pool, sitting


def race(sitting: Sitting) -> None:
    """Give every finalist a further seed, in no time."""
    for rival in sitting.rivals():
        sitting.trials.replicate(dataclasses.replace(rival, seed=rival.seed + 1))


def test_head_alone_comes_first_though_the_first_pack_takes_the_time(tmp_path: Path) -> None:
    pool, store = searched(tmp_path, 62.0)
    assert pool.packs[0] == ["head_only"]
    assert pool.packs[1][0] == "lora"
    assert 1 < len(pool.packs[1]) < 4
    assert {"default", "head"} <= {record.origin for record in store.records()}


def test_what_there_is_no_time_for_is_taken_back(tmp_path: Path) -> None:
    pool, store = searched(tmp_path, 62.0)
    handed = sum(len(pack) for pack in pool.packs)
    assert len(store.records()) == handed
    assert not {trial.state.name for trial in store.all()} & {"RUNNING", "WAITING"}


def test_little_time_makes_small_packs(tmp_path: Path) -> None:
    assert max(map(len, searched(tmp_path, 35.0)[0].packs)) == 1
    assert max(map(len, searched(tmp_path, 200.0)[0].packs)) == 4


def test_references_are_cut_in_time_for_what_keeps_them(tmp_path: Path) -> None:
    at_once, later = (searched(tmp_path, 62.0, finish=s)[0].limits["head_only"] for s in (0.0, 5.0))
    assert at_once is not None
    assert later == at_once - 5.0


def test_on_folds_time_is_set_aside_for_a_whole_round_or_not_at_all(tmp_path: Path) -> None:
    short = searched(tmp_path, 72.0, folds=4)[0].now
    assert searched(tmp_path, 72.0)[0].now == 60.0 < short, "no round of three fits in 28 seconds"
    assert short <= 72.0
    assert searched(tmp_path, 200.0, folds=4)[0].now <= 200.0 - 3 * EACH


def test_nothing_is_set_aside_before_there_are_enough_trials_to_race(tmp_path: Path) -> None:
    _, store = searched(tmp_path, 62.0)
    adapted = [record for record in store.records() if record.origin != "head"]
    assert len(adapted) == FINALISTS
    assert len(searched(tmp_path, 42.0)[1].records()) >= 4, "though there is no time for a race"


@pytest.mark.parametrize(("folds", "aside"), [(1, EACH), (4, 2 * EACH)])
def test_what_a_race_leaves_of_its_time_is_searched_in(
    tmp_path: Path, folds: int, aside: float
) -> None:
    """Up to what a newcomer needs to be compared: a further seed, on folds as many as others."""
    limit = 150.0
    trials, pool, sitting = prepared(tmp_path, limit, folds=folds)
    assert not trials.goes_on, "nothing has ended yet"
    trials.run(pool)  # type: ignore[arg-type]
    begun = len(sitting.trials.records())
    assert not trials.goes_on, "the race comes first"
    race(sitting)
    assert trials.goes_on
    trials.run(pool)  # type: ignore[arg-type]
    assert len(sitting.trials.records()) > begun
    assert limit - aside - 3 * EACH <= pool.now <= limit - aside
    pool.now = limit
    assert not trials.goes_on


def test_a_search_that_has_nothing_left_to_try_does_not_go_on(tmp_path: Path) -> None:
    trials, pool, sitting = prepared(tmp_path, 500.0, until_converged=True)
    trials.run(pool)  # type: ignore[arg-type]
    race(sitting)
    assert pool.now < 300.0
    assert not trials.goes_on


def test_the_gates_of_a_trial_are_kept_with_it(tmp_path: Path) -> None:
    _, store = searched(tmp_path, 62.0)
    kept = {trial.number: trial.user_attrs.get("gates") for trial in store.standing()}
    assert kept[0] == GATES
    assert [number for number, gates in kept.items() if gates is not None] == [0]


def test_search_ends_between_cohorts_where_it_looks_converged(tmp_path: Path) -> None:
    """All but the head alone score the same, so nothing adds anything after the first."""
    _, store = searched(tmp_path, 500.0, until_converged=True)
    assert len(store.records()) == 3 * COHORT, "the first look after sixteen trials beside the head"
    assert not {trial.state.name for trial in store.all()} & {"RUNNING", "WAITING"}


def test_search_that_looks_converged_goes_on_unless_told_to_end(tmp_path: Path) -> None:
    assert len(searched(tmp_path, 500.0)[1].records()) > 3 * COHORT


def test_time_limit_holds_before_convergence(tmp_path: Path) -> None:
    pool, _ = searched(tmp_path, 62.0, until_converged=True)
    assert pool.now <= 62.0 + EACH


def test_weights_that_a_newcomer_makes_a_finalists_again_are_kept(tmp_path: Path) -> None:
    """A sixth member of the front is no finalist, until one dominates three that are."""
    references = [(1000, 0.5), (0, 0.5)]
    front = [(10, 0.70), (20, 0.72), (30, 0.74), (40, 0.76), (50, 0.78), (60, 0.80)]
    newcomer = (25, 0.79)
    store = TrialStore(optuna.create_study(directions=["maximize", "minimize"]))
    sitting = Sitting(
        trials=store,
        clock=Clock(limit_seconds=None),
        screen=SilentScreen(),
        folder=tmp_path,
        higher_is_better=True,
        save=lambda: None,
    )
    search = Search(
        trials=store, space=load_space("quick").restrict(shape=backbone()), higher_is_better=True
    )
    trials = Trials(search, sitting)
    for params, score in (*references, *front, newcomer):
        proposal = search.propose()
        assert proposal is not None
        job = trials._job(proposal, None)
        job.artifact.mkdir(parents=True)
        trials.finished(job, outcome(score) | {"costs": {"trainable_params": params}})
    final = {record.costs.trainable_params: record.artifact for record in sitting.finalists()}
    assert 10 in final
    assert all((tmp_path / str(artifact)).is_dir() for artifact in final.values())


class StoppedPool(MadeUpPool):
    """Is stopped by a signal while the pack of this number trains, counted from 0."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def run(self, packs: Iterator[Sequence[Job]], watcher: Trials) -> int:
        for number, pack in enumerate(packs):
            if number == self._at:
                self.packs.append([job.candidate.method for job in pack])
                raise Interrupted(signal.SIGTERM)
            super().run(iter([pack]), watcher)
        return 0


def test_what_was_handed_to_nobody_when_a_signal_came_waits_and_was_not_begun(
    tmp_path: Path,
) -> None:
    pool = StoppedPool(at=1)
    trials, _, sitting = prepared(tmp_path, 90.0, pool=pool)
    with pytest.raises(Interrupted):
        trials.run(pool)  # type: ignore[arg-type]
    ended, running = pool.packs
    asked = [record.candidate for record in sitting.trials.records()]
    assert len(asked) == COHORT > len(ended) + len(running)
    again, rest_of_it, _ = prepared(tmp_path, 90.0, store=sitting.trials)
    assert sorted(one.candidate.method for one in again._search.lost) == sorted(running)
    assert sitting.trials.superseded() == again._search.lost
    standing = [trial.user_attrs["proposal"]["candidate"] for trial in sitting.trials.standing()]
    (done,) = ended
    first = [one for one in asked if one.method == done]
    rest = [one for one in asked if one.method != done]
    assert standing == [one.to_json() for one in (*first, *rest)], "in the order they were asked in"
    again.run(rest_of_it)  # type: ignore[arg-type]
    proposals = [t.user_attrs["proposal"] for t in sitting.trials.standing()[:COHORT]]
    assert {one.get("attempts", 1) for one in proposals} == {1, 2}
    assert sum("attempts" in one for one in proposals) == len(running)


def cut(number: int, **values: Any) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=2),
        seed=0,
        state=TrialState.STOPPED,
        origin="tpe",
        costs=Costs(trainable_params=5, train_seconds=6.0),
        cut_share=0.6,
        **values,
    )


RUNG = RungPoint(rung=0, share=1 / 3, score=0.75, wall_seconds=3.0)


@pytest.mark.parametrize("curve", [(), (RUNG,)])
def test_what_the_clock_cut_tells_how_long_the_whole_would_take(
    tmp_path: Path, curve: tuple[RungPoint, ...]
) -> None:
    trials, _, sitting = prepared(tmp_path, 90.0)
    record = cut(0, curve=curve)
    trials._learn(record)
    assert sitting.clock.estimate_seconds(record.candidate) == pytest.approx(10.0)


def test_what_the_clock_cut_is_not_called_stopped() -> None:
    assert "cut at 60% by the time limit, 5 parameters, 6 s" in outcome_line(cut(3))
    line = outcome_line(cut(3, curve=(RUNG,)))
    assert "cut at 60% by the time limit, after 0.7500 at 33%, 5 parameters" in line
    stopped = dataclasses.replace(cut(3, curve=(RUNG,)), cut_share=None)
    assert "stopped at 33% with 0.7500, 5 parameters" in outcome_line(stopped)


class CuttingPool(MadeUpPool):
    """Cuts the default short, as a time limit would."""

    def run(self, packs: Iterator[Sequence[Job]], watcher: Trials) -> int:
        return super().run(packs, Cutting(watcher))  # type: ignore[arg-type]


class Cutting:
    """Tells another watcher that the default was cut at 30 %."""

    def __init__(self, watcher: Trials) -> None:
        self.started = watcher.started
        self._watcher = watcher

    def finished(self, job: Job, found: dict[str, Any]) -> None:
        cut = {"cut_share": 0.3, "curve": []} if job.candidate.method == "lora" else {}
        self._watcher.finished(job, found | cut)


@pytest.mark.parametrize(("seconds", "again"), [(30.0, False), (90.0, True)])
def test_a_reference_that_was_cut_short_is_trained_whole_once_there_is_time(
    tmp_path: Path, seconds: float, again: bool
) -> None:
    """At 30 % in ten seconds, it takes 33 seconds."""
    trials, cutting, sitting = prepared(tmp_path, 20.0, pool=CuttingPool())
    trials.run(cutting)  # type: ignore[arg-type]
    (default,) = (one for one in sitting.trials.records() if one.origin == "default")
    assert default.cut_share == 0.3
    resumed, pool, _ = prepared(tmp_path, seconds, store=sitting.trials)
    resumed.run(pool)  # type: ignore[arg-type]
    (now,) = (one for one in sitting.trials.records() if one.origin == "default")
    assert (now.cut_share is None) == again
    assert [one.number for one in sitting.trials.superseded()] == [default.number] * again
    assert sum(method == "lora" for pack in pool.packs for method in pack) >= again


@pytest.mark.parametrize("seconds", [8.0, 90.0])
def test_a_reference_that_was_lost_is_begun_again_before_time_is_kept_for_a_race(
    tmp_path: Path, seconds: float
) -> None:
    trials, _, sitting = prepared(tmp_path, 90.0)
    for number in range(4):
        proposal = trials._search.propose()
        assert proposal is not None
        job = trials._job(proposal, None)
        if number:  # the default was in training when the run was killed
            trials.finished(job, outcome(0.6))
    resumed, pool, _ = prepared(tmp_path, seconds, store=sitting.trials)
    resumed.run(pool)  # type: ignore[arg-type]
    assert pool.packs[0][0] == "lora"
    assert {"default", "head"} <= {record.origin for record in sitting.trials.records()}
