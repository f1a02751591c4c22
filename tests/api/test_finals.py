"""Replicates of the finalists, and the choice among them, over made-up trainings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from autopeft.api.clock import Clock
from autopeft.api.finals import Finals, decide, untrained_score
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
    """Trains nothing: writes outputs with as many wrong answers as the trial has."""

    def __init__(self, *, fails: tuple[tuple[int, int], ...] = ()) -> None:
        self.trained: list[tuple[int, int]] = []
        self._fails = fails

    def run(self, packs: Iterator[Sequence[Job]], watcher: Finals) -> int:
        for job in itertools.chain.from_iterable(packs):
            key = (job.number, job.seed)
            self.trained.append(key)
            watcher.started(job)
            if key in self._fails:
                watcher.failed(job, Cause.OUT_OF_MEMORY, "made up")
            else:
                watcher.finished(job, outcome(job.artifact, job.number))
        return len(self.trained)


def outcome(artifact: Path, number: int) -> dict[str, Any]:
    _, params, wrong, _ = TRIALS[number]
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
        "curve": [],
        "score": score,
        "metrics": {"accuracy": score},
        "costs": {"trainable_params": params},
    }


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Path, TrialStore]]:
    """Return a run whose four trials are finished."""
    with RunFolder.open(tmp_path / "run", identity={}) as folder:
        store = folder.trials(higher_is_better=True)
        for number, (method, params, _, origin) in TRIALS.items():
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
            found = outcome(folder.path / artifact, number)
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
        yield folder.path, store


def finals(run: tuple[Path, TrialStore], heard: Heard, **limits: float) -> Finals:
    clock = Clock(limit_seconds=limits.get("seconds"), now=lambda: 0.0)
    if limits:
        for method in ("lora", "head_only", "ia3", "bitfit"):
            clock.measured(Candidate(method=method, learning_rate=1.0, epochs=1), 10.0, 1.0)
        clock.delivery_seconds = 0.0
    folder, store = run
    sitting = Sitting(
        trials=store,
        clock=clock,
        screen=heard,
        folder=folder,
        higher_is_better=True,
        save=lambda: None,
    )
    return Finals(sitting)


def chosen(run: tuple[Path, TrialStore], made: Finals, tmp_path: Path, **changes: Any) -> Any:
    file = tmp_path / "space.yaml"
    file.write_text("methods:\n  lora:\n  ia3:\n  bitfit:\n")
    options = {"within": "1se", "references_eligible": True, "seed": 0, **changes}
    return decide(
        made.finalists(),
        run[1],
        run[0],
        PROBLEM,
        load_space(str(file)),
        targets=TARGETS,
        train_targets=TARGETS,
        **options,
    )


def test_every_finalist_gets_its_seeds_and_one_seed_goes_round_first(
    run: tuple[Path, TrialStore],
) -> None:
    pool = MadeUpPool()
    finals(run, Heard()).run(pool)  # type: ignore[arg-type]
    assert sorted(pool.trained) == [(number, seed) for number in range(4) for seed in (6, 7)]
    assert [seed for _, seed in pool.trained] == [6] * 3 + [7] * 3 + [6, 7]
    assert {number for number, _ in pool.trained[-2:]} == {1}, "the head alone comes last"
    assert [record.seed for record in run[1].replicates(2)] == [6, 7]


def test_what_is_done_is_not_done_again(run: tuple[Path, TrialStore]) -> None:
    finals(run, Heard()).run(MadeUpPool(fails=((3, 6),)))  # type: ignore[arg-type]
    again = MadeUpPool()
    finals(run, Heard()).run(again)  # type: ignore[arg-type]
    assert again.trained == []


def test_smallest_of_the_best_is_chosen(run: tuple[Path, TrialStore], tmp_path: Path) -> None:
    made = finals(run, Heard())
    made.run(MadeUpPool())  # type: ignore[arg-type]
    choice = chosen(run, made, tmp_path)
    assert choice.number == 2
    assert choice.seed in (5, 6, 7)
    assert "200 trained parameters" in choice.reason


def test_reference_outside_the_methods_asked_for_is_not_chosen(
    run: tuple[Path, TrialStore], tmp_path: Path
) -> None:
    made = finals(run, Heard())
    choice = chosen(run, made, tmp_path, within="0.5pt", references_eligible=False)
    rows = {row.finalist.number: row.finalist.eligible for row in choice.table}
    assert rows[1] is False
    assert rows[2] is True


def test_replicate_that_failed_counts_for_nothing(
    run: tuple[Path, TrialStore], tmp_path: Path
) -> None:
    made = finals(run, Heard())
    made.run(MadeUpPool(fails=((2, 6), (2, 7))))  # type: ignore[arg-type]
    rows = {row.finalist.number: row for row in chosen(run, made, tmp_path).table}
    assert [replicate.seed for replicate in rows[2].finalist.replicates] == [5]
    assert len(rows[0].finalist.replicates) == 3


def test_weights_that_were_lost_are_trained_again_first(run: tuple[Path, TrialStore]) -> None:
    folder, store = run
    (folder / "trials" / "2-5" / "adapter_model.safetensors").write_bytes(b"half")
    heard, pool = Heard(), MadeUpPool()
    finals(run, heard).run(pool)  # type: ignore[arg-type]
    assert pool.trained[0] == (2, 5)
    assert [record.seed for record in store.replicates(2)] == [6, 7], "its record is the trial's"
    assert "weights of trial 2 were damaged" in heard.text


def test_finalist_without_any_weights_is_left_out(
    run: tuple[Path, TrialStore], tmp_path: Path
) -> None:
    (run[0] / "trials" / "2-5" / "selection.npy").unlink()
    made = finals(run, Heard())
    made.run(MadeUpPool(fails=((2, 5), (2, 6), (2, 7))))  # type: ignore[arg-type]
    assert 2 not in [row.finalist.number for row in chosen(run, made, tmp_path).table]


def test_no_weights_at_all_is_an_error(run: tuple[Path, TrialStore], tmp_path: Path) -> None:
    for number in TRIALS:
        (run[0] / "trials" / f"{number}-5" / "selection.npy").unlink()
    with pytest.raises(NoCandidateError):
        chosen(run, finals(run, Heard()), tmp_path)


def test_short_time_leaves_replicates_out(run: tuple[Path, TrialStore]) -> None:
    pool, heard = MadeUpPool(), Heard()
    made = finals(run, heard, seconds=5.0)
    made.run(pool)  # type: ignore[arg-type]
    assert pool.trained == []
    assert made.skipped > 0


def test_further_seeds_of_some_come_before_all_seeds_of_one(
    run: tuple[Path, TrialStore],
) -> None:
    pool = MadeUpPool()
    made = finals(run, Heard(), seconds=32.0)  # three trainings of ten seconds
    made.run(pool)  # type: ignore[arg-type]
    assert pool.trained[:2] in ([(0, 6), (2, 6)], [(2, 6), (0, 6)])


def test_untrained_score_is_of_the_majority_or_the_mean() -> None:
    assert untrained_score(PROBLEM, np.array([1, 1, 0]), np.array([1, 0, 0, 0])) == 0.25
    numbers = dataclasses.replace(PROBLEM, task="regression", labels=(), metric="rmse")
    assert untrained_score(numbers, np.array([1.0, 3.0]), np.array([2.0, 5.0])) == pytest.approx(
        np.sqrt(4.5)
    )
