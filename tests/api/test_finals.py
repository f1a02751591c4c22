"""Replicates of the finalists, and the choice among them, over made-up trainings."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from autopeft.api.clock import Clock
from autopeft.api.finals import MOST_SEEDS, Finals
from autopeft.api.judge import Judge, worth_of_a_point
from autopeft.api.pool import Job
from autopeft.api.record import artifact_folder
from autopeft.api.sitting import Sitting
from autopeft.errors import NoCandidateError
from autopeft.records import Candidate, Cause, Costs, TrialRecord, TrialState
from autopeft.search.load import load_space
from autopeft.store import RunFolder, TrialStore
from autopeft.tasks import Columns
from autopeft.tasks.problem import Problem
from tests.robustness.conftest import Heard

TARGETS = np.arange(40) % 2
PROBLEM = Problem(
    task="text-classification",
    columns=Columns(text="text", text_pair=None, label="label"),
    labels=("bad", "good"),
    metric="accuracy",
    confidence=1.0,
    reasons=(),
)
TRIALS = {  # number: (method, parameters, wrong answers, origin)
    0: ("lora", 2048, 4, "default"),
    1: ("head_only", 0, 16, "head"),
    2: ("ia3", 200, 4, "tpe"),
    3: ("bitfit", 600, 12, "tpe"),
}


class MadeUpPool:
    """Trains nothing: writes outputs with as many wrong answers as the trial has.

    Args:
        fails: trials and seeds of the trainings that fail.
        dies: trials and seeds whose worker dies, once for each time that they are named.
        cut: trials and seeds of the trainings that the time limit cuts short.
        further: wrong answers of trials with further seeds, in place of those of the first.
        cause: of what fails.
    """

    def __init__(
        self,
        *,
        fails: tuple[tuple[int, int], ...] = (),
        dies: tuple[tuple[int, int], ...] = (),
        cut: tuple[tuple[int, int], ...] = (),
        further: Mapping[int, Sequence[int]] | None = None,
        cause: Cause = Cause.OUT_OF_MEMORY,
    ) -> None:
        self.trained: list[tuple[int, int]] = []
        self.folds: dict[int, set[int]] = {}
        self._fails, self._dies, self._cut = fails, list(dies), cut
        self._further = further or {}
        self._cause = cause

    def run(self, packs: Iterator[Sequence[Job]], watcher: Finals) -> int:
        for job in itertools.chain.from_iterable(packs):
            key = (job.number, job.seed)
            wrongs = self._further.get(job.number, ())
            self.trained.append(key)
            self.folds.setdefault(job.seed, set()).add(job.fold)
            watcher.started(job)
            if key in self._dies:
                self._dies.remove(key)
                watcher.failed(job, Cause.WORKER_DIED, "made up")
            elif key in self._fails:
                watcher.failed(job, self._cause, "made up")
            else:
                shift = job.seed - 6
                wrong = wrongs[shift] if 0 <= shift < len(wrongs) else None
                cut_share = {"cut_share": 0.4 if key in self._cut else None}
                watcher.finished(job, outcome(job.artifact, job.number, wrong) | cut_share)
        return len(self.trained)


def outcome(artifact: Path, number: int, wrong: int | None = None) -> dict[str, Any]:
    _, params, usual, _ = TRIALS[number]
    wrong = usual if wrong is None else wrong
    artifact.mkdir(parents=True, exist_ok=True)
    right = np.eye(2)[TARGETS]
    right[:wrong] = 1 - right[:wrong]
    np.save(artifact / "selection.npy", right.astype(np.float32))
    save_file({"w": np.zeros(2, np.float32)}, str(artifact / "adapter_model.safetensors"))
    (artifact / "adapter_config.json").write_text("{}")
    score = 1 - wrong / 40
    return {
        "stopped": False,
        "message": "",
        "cut_share": None,
        "curve": [],
        "score": score,
        "metrics": {"accuracy": score},
        "costs": {"trainable_params": params},
    }


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Path, TrialStore]]:
    """Return a run whose four trials are finished."""
    with finished_run(tmp_path / "run") as made:
        yield made


@contextlib.contextmanager
def finished_run(path: Path) -> Iterator[tuple[Path, TrialStore]]:
    with RunFolder.open(path, identity={}) as folder:
        store = folder.trials(higher_is_better=True)
        for number in TRIALS:
            finish(number, folder.path, store)
        yield folder.path, store


def finish(number: int, folder: Path, store: TrialStore) -> None:
    """Record a trial as finished, with its outputs and weights."""
    method, params, _, origin = TRIALS[number]
    candidate = Candidate(method=method, learning_rate=1e-3, epochs=1)
    store.enqueue(
        {
            "candidate": candidate.to_json(),
            "seed": 5,
            "origin": origin,
            "params": {},
            "trainable_params": params,
        }
    )
    assert store.study.ask().number == number
    artifact = artifact_folder(number, 5)
    found = outcome(folder / artifact, number)
    record = TrialRecord(
        number=number,
        candidate=candidate,
        seed=5,
        state=TrialState.COMPLETE,
        origin=origin,
        costs=Costs(trainable_params=params, artifact_bytes=8, latency_seconds=0.1),
        score=found["score"],
        artifact=str(artifact),
    )
    store.conclude(record)


@pytest.fixture
def judge(run: tuple[Path, TrialStore], tmp_path: Path) -> Judge:
    file = tmp_path / "space.yaml"
    file.write_text("methods:\n  lora:\n  ia3:\n  bitfit:\n")
    return Judge(
        trials=run[1],
        folder=run[0],
        problem=PROBLEM,
        space=load_space(str(file)),
        targets=[TARGETS],
        train_targets=TARGETS,
        within="1se",
        references_eligible=True,
        seed=0,
    )


def finals(judge: Judge, heard: Heard | None = None, **limits: float) -> Finals:
    clock = Clock(limit_seconds=limits.get("seconds"), now=lambda: 0.0)
    if limits:
        for method in ("lora", "head_only", "ia3", "bitfit"):
            clock.measured(Candidate(method=method, learning_rate=1.0, epochs=1), 10.0, 1.0)
        clock.delivery_seconds = 0.0
    sitting = Sitting(
        trials=judge.trials,
        clock=clock,
        screen=heard or Heard(),
        folder=judge.folder,
        higher_is_better=True,
        save=lambda: None,
        folds=len(judge.targets),
    )
    return Finals(sitting, judge)


def raced(judge: Judge, heard: Heard | None = None, **pool: Any) -> list[tuple[int, int]]:
    """Return the trials and seeds that the finals of a made-up pool train, in order."""
    made_up = MadeUpPool(**pool)
    finals(judge, heard).run(made_up)  # type: ignore[arg-type]
    return made_up.trained


UNSURE = {0: (4, 5, 4, 5), 2: (9, 4, 8, 4)}
"""Trial 2, a tenth of the size of trial 0, is as good with some seeds and worse with others."""


def test_one_seed_goes_round_all_finalists_first_and_the_head_comes_last(judge: Judge) -> None:
    trained = raced(judge)
    assert sorted(trained[:3]) == [(0, 6), (2, 6), (3, 6)]
    assert trained[-2:] == [(1, 6), (1, 7)]


def test_the_race_is_over_when_no_seed_can_change_the_choice(judge: Judge) -> None:
    heard = Heard()
    trained = raced(judge, heard)
    assert len(trained) == 3 + 2, "all trainings of a trial scored the same, so two are enough"
    assert "decided after 2 seeds" in heard.text


def test_who_cannot_change_the_choice_leaves_its_seeds_to_the_others(judge: Judge) -> None:
    heard = Heard()
    trained = [
        (number, seed) for number, seed in raced(judge, heard, further=UNSURE) if number != 1
    ]
    assert [seed for number, seed in trained if number == 3] == [6]
    assert {(0, 7), (2, 7)} <= set(trained)
    assert any(seed == 8 for _, seed in trained), "more than three seeds where it matters"
    assert len(trained) == 6, "as many as all with three seeds would take"
    assert max(seed for _, seed in trained) < 5 + MOST_SEEDS
    assert "2 of 3 finalists can still change it after 2 seeds" in heard.text


def test_race_that_was_interrupted_goes_on_as_it_would_have(judge: Judge, tmp_path: Path) -> None:
    with finished_run(tmp_path / "other") as (folder, store):
        other = dataclasses.replace(judge, trials=store, folder=folder)
        uninterrupted = raced(other, further=UNSURE)

    class Ended(BaseException):
        pass

    class Dying(MadeUpPool):
        def run(self, packs: Iterator[Sequence[Job]], watcher: Finals) -> int:
            for pack in packs:
                if len(self.trained) == 4:
                    raise Ended
                super().run(iter([pack]), watcher)
            return 0

    first = Dying(further=UNSURE)
    with pytest.raises(Ended):
        finals(judge).run(first)  # type: ignore[arg-type]
    rest = raced(judge, further=UNSURE)
    assert len(first.trained) == 4
    assert first.trained + rest == uninterrupted


def test_on_folds_all_have_the_same_seeds(judge: Judge) -> None:
    folded = dataclasses.replace(judge, targets=[TARGETS] * 2)
    pool = MadeUpPool(further=UNSURE, fails=((3, 7),))
    made = finals(folded)
    made.run(pool)  # type: ignore[arg-type]
    assert sorted(pool.trained) == sorted((n, seed) for n in TRIALS for seed in (6, 7))
    assert pool.folds == {6: {1}, 7: {0}}
    rows = {row.finalist.number: row for row in folded.choose(made.finalists()).table}
    for number, row in rows.items():
        found = row.finalist.replicates
        assert [replicate.seed for replicate in found] == [5, 6], "3 lacks seed 7, so it counts not"
        assert [np.flatnonzero(one.seen).tolist() for one in found] == [
            list(range(40)), list(range(40, 80))
        ]  # fmt: skip
        wrong = UNSURE.get(number, (TRIALS[number][2],))[0]
        assert row.mean == pytest.approx(1 - (TRIALS[number][2] + wrong) / 80)


@pytest.mark.parametrize(("seconds", "each"), [(25.0, set()), (32.0, {0, 1, 2}), (42.0, {*TRIALS})])
def test_on_folds_no_round_begins_that_the_time_would_cut(
    judge: Judge, seconds: float, each: set[int]
) -> None:
    """A training takes ten seconds, and what not all have on a fold counts for nothing."""
    folded = dataclasses.replace(judge, targets=[TARGETS] * 2)
    pool = MadeUpPool(further=UNSURE)
    made = finals(folded, seconds=seconds)
    made.run(pool)  # type: ignore[arg-type]
    trained = {seed: {n for n, s in pool.trained if s == seed} for _, seed in pool.trained}
    assert all(numbers == each for numbers in trained.values())
    assert bool(trained) == bool(each)


@pytest.mark.parametrize(("folds", "seconds"), [(1, 22.0), (2, 32.0)])
@pytest.mark.parametrize(("within", "chosen"), [("1pt", 2), ("10pt", 3)])
def test_who_might_be_chosen_as_things_stand_is_not_left_out_of_the_race(
    judge: Judge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folds: int,
    seconds: float,
    within: str,
    chosen: int,
) -> None:
    """Trial 3 has half of the size of the best and one more wrong answer; ten seconds each."""
    monkeypatch.setitem(TRIALS, 3, ("bitfit", 100, 5, "tpe"))
    with finished_run(tmp_path / "other") as (folder, store):
        other = dataclasses.replace(
            judge, trials=store, folder=folder, within=within, targets=[TARGETS] * folds
        )
        made, pool = finals(other, seconds=seconds), MadeUpPool()
        made.run(pool)  # type: ignore[arg-type]
        left_out = {number for number, _ in pool.trained} == {0, 2, *([1] if folds > 1 else [])}
        assert left_out == (within == "1pt"), "there is no time for trial 3 beside these"
        assert bool(pool.trained) == left_out
        assert other.choose(made.finalists()).number == chosen


@pytest.mark.parametrize("folds", [1, 2])
def test_a_newcomer_that_has_no_time_to_race_takes_nobody_out_of_the_choice(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int
) -> None:
    monkeypatch.setitem(TRIALS, 2, ("ia3", 200, 3, "tpe"))
    monkeypatch.setitem(TRIALS, 3, ("bitfit", 100, 5, "tpe"))
    with finished_run(tmp_path / "other") as (folder, store):
        other = dataclasses.replace(
            judge, trials=store, folder=folder, within="10pt", targets=[TARGETS] * folds
        )
        first = finals(other)
        first.run(MadeUpPool())  # type: ignore[arg-type]
        assert other.choose(first.finalists()).number == 3
        monkeypatch.setitem(TRIALS, 4, ("ln_tuning", 150, 4, "tpe"))
        finish(4, folder, store)
        made, pool = finals(other, seconds=5.0), MadeUpPool()
        made.run(pool)  # type: ignore[arg-type]
        assert not pool.trained
        assert [record.number for record in made.finalists()] == [2, 4, 3, 1, 0]
        assert other.choose(made.finalists()).number == 3


def test_what_is_done_is_not_done_again(judge: Judge) -> None:
    assert (3, 6) in raced(judge, fails=((3, 6),))
    assert raced(judge) == []


def test_smallest_of_the_best_is_chosen(judge: Judge) -> None:
    made = finals(judge)
    made.run(MadeUpPool())  # type: ignore[arg-type]
    choice = judge.choose(made.finalists())
    assert choice.number == 2
    assert choice.seed in (5, 6, 7)
    assert "200 trained parameters" in choice.reason
    assert choice.expected.tried == 3, "the head alone does not count"


def test_a_point_of_an_error_depends_on_the_scale_of_the_label() -> None:
    assert worth_of_a_point("accuracy", 0.5) == worth_of_a_point("pearson", 0.0) == 0.01
    assert worth_of_a_point("rmse", 250.0) == pytest.approx(2.5)


def test_reference_outside_the_methods_asked_for_is_not_chosen(judge: Judge) -> None:
    made = finals(judge)
    strict = dataclasses.replace(judge, within="0.5pt", references_eligible=False)
    choice = strict.choose(made.finalists())
    rows = {row.finalist.number: row.finalist.eligible for row in choice.table}
    assert rows[1] is False
    assert rows[2] is True


def test_replicate_that_failed_counts_for_nothing(judge: Judge) -> None:
    made = finals(judge)
    made.run(MadeUpPool(fails=((2, 6), (2, 7))))  # type: ignore[arg-type]
    rows = {row.finalist.number: row for row in judge.choose(made.finalists()).table}
    assert [replicate.seed for replicate in rows[2].finalist.replicates] == [5]
    assert [replicate.seed for replicate in rows[0].finalist.replicates] == [5, 6]


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (Cause.CONSTANT, "Not every training of it succeeds: constant-predictions under seed 6."),
        (Cause.OUT_OF_MEMORY, ""),
    ],
)
def test_a_choice_that_does_not_learn_under_every_seed_says_so(
    judge: Judge, cause: Cause, said: str
) -> None:
    made = finals(judge)
    made.run(MadeUpPool(fails=((2, 6),), cause=cause))  # type: ignore[arg-type]
    choice = judge.choose(made.finalists())
    assert choice.number == 2
    assert ("Not every training" in choice.reason) is bool(said)
    assert said in choice.reason


def test_a_choice_says_of_a_training_that_the_time_limit_cut_it_short(judge: Judge) -> None:
    assert "short" not in judge.choose(finals(judge).finalists()).reason
    raced(judge, cut=((1, 6),))
    reason = judge.choose(finals(judge).finalists()).reason
    assert "the head alone 60.0 % with 0 trained parameters (the time limit cut" in reason
    assert reason.count("short") == 1


def test_replicate_whose_worker_died_is_tried_once_more(judge: Judge) -> None:
    heard = Heard()
    trained = raced(judge, heard, dies=((2, 6), (3, 6), (3, 6)))
    assert trained.count((2, 6)) == trained.count((3, 6)) == 2
    assert "tried once more" in heard.text
    (found,) = judge.trials.replicates(2)[:1]
    assert (found.seed, found.state) == (6, TrialState.COMPLETE)
    (lost,) = judge.trials.replicates(3)[:1]
    assert lost.cause is Cause.WORKER_DIED


def test_further_seeds_are_shown_under_the_number_of_their_trial(judge: Judge) -> None:
    heard = Heard()
    trained = raced(judge, heard)
    assert trained
    assert heard.shown == trained


def test_weights_that_were_lost_are_trained_again_first(judge: Judge) -> None:
    (judge.folder / "trials" / "2-5" / "adapter_model.safetensors").write_bytes(b"half")
    heard = Heard()
    assert raced(judge, heard)[0] == (2, 5)
    assert [r.seed for r in judge.trials.replicates(2)] == [6], "its record is the trial's"
    assert "weights of trial 2 were gone" in heard.text


def test_finalist_without_any_weights_is_left_out(judge: Judge) -> None:
    (judge.folder / "trials" / "2-5" / "selection.npy").unlink()
    made = finals(judge)
    made.run(MadeUpPool(fails=((2, 5), (2, 6), (2, 7))))  # type: ignore[arg-type]
    assert 2 not in [row.finalist.number for row in judge.choose(made.finalists()).table]


def test_no_weights_at_all_is_an_error(judge: Judge) -> None:
    for number in TRIALS:
        (judge.folder / "trials" / f"{number}-5" / "selection.npy").unlink()
    with pytest.raises(NoCandidateError, match=r"weights of the finalists are gone.*--time-limit"):
        judge.choose(finals(judge).finalists())


def test_nothing_but_references_that_may_not_be_chosen_is_an_error(judge: Judge) -> None:
    only = dataclasses.replace(
        judge,
        references_eligible=False,
        space=dataclasses.replace(judge.space, methods={"vera": ()}),
    )
    with pytest.raises(NoCandidateError, match="no training of vera came to its end"):
        only.choose(finals(judge).finalists())


@pytest.mark.parametrize("folds", [1, 2])
def test_without_time_for_further_seeds_all_finalists_are_chosen_from(
    judge: Judge, folds: int
) -> None:
    pool, heard = MadeUpPool(), Heard()
    made = finals(dataclasses.replace(judge, targets=[TARGETS] * folds), heard, seconds=5.0)
    made.run(pool)  # type: ignore[arg-type]
    assert pool.trained == []
    assert "no time for further seeds" in heard.text
    assert {record.number for record in made.finalists()} == set(TRIALS)


def test_further_seeds_of_some_come_before_all_seeds_of_one(judge: Judge) -> None:
    pool = MadeUpPool()
    made = finals(judge, seconds=32.0)  # three trainings of ten seconds
    made.run(pool)  # type: ignore[arg-type]
    assert pool.trained[:2] in ([(0, 6), (2, 6)], [(2, 6), (0, 6)])
