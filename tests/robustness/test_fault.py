"""Trials that fail: each cause is its own, none ends the run, none wins. (robustness.md 10–14)"""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from autopeft.api import pool
from autopeft.errors import NoCandidateError, RunFolderError
from autopeft.records import Candidate, Cause, TrialState
from autopeft.search.other_tasks import tasks_of
from autopeft.store import RunFolder
from autopeft.train.session import open_session
from tests.robustness.conftest import Done, Settings, TrainingProcess, run
from tests.robustness.run import outline, records_in, states_in, write_space
from tests.train.toy import order, save_splits

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("robustness")]

SPACE = """
description: one method per fault
epochs: 5
methods:
  ia3:
  ln_tuning:
  bitfit:
  vera:
"""
FAULTS = {
    "ia3": ("nan", Cause.NON_FINITE),
    "ln_tuning": ("bug", Cause.BUG),
    "bitfit": ("memory", Cause.OUT_OF_MEMORY),
    "head_only": ("die-saving", Cause.WORKER_DIED),
    "vera": ("hang", Cause.TIMEOUT),
}


@pytest.fixture(scope="module")
def faulty(
    shared: Settings, tmp_path_factory: pytest.TempPathFactory, training_process: TrainingProcess
) -> Done:
    folder = tmp_path_factory.mktemp("faulty")
    settings = {**shared, "output": str(folder / "run"), "trials": 6}
    settings["leave_out"] = list(tasks_of())  # so that every method has its turn
    settings["space"] = str(write_space(folder, SPACE))
    faults = ",".join(f"{kind}:{name}" for name, (kind, _) in FAULTS.items())
    with training_process(FAULT=faults) as patch:
        patch.setattr(pool, "_STALL_SECONDS", 5.0)
        result, heard = run(settings)
    return Done(settings, result, heard)


def test_every_fault_has_its_own_cause(faulty: Done) -> None:
    found = {r.candidate.method: r for r in faulty.result.records if r.state is TrialState.FAILED}
    assert {name: found[name].cause for name in FAULTS} == {
        name: cause for name, (_, cause) in FAULTS.items()
    }
    assert "KeyError: 'a fault of ours'" in found["ln_tuning"].message
    assert "no memory for that" in found["bitfit"].message
    assert "loss became nan" in found["ia3"].message
    assert "signal 9" in found["head_only"].message
    assert "no sign of life" in found["vera"].message


def test_faults_neither_end_the_run_nor_win(faulty: Done) -> None:
    assert len(faulty.result.records) == 6
    assert faulty.result.choice.method == "lora"
    assert {r.candidate.method for r in faulty.result.front} == {"lora"}
    assert (faulty.result.best / "adapter_model.safetensors").is_file()


def test_bug_is_not_told_to_the_study_as_pruned(faulty: Done) -> None:
    with RunFolder.read(faulty.result.folder) as opened:
        store = opened.trials(higher_is_better=True)
        trials = {t.user_attrs["proposal"]["candidate"]["method"]: t for t in store.standing()}
    assert trials["ln_tuning"].state.name == "COMPLETE"
    assert trials["ln_tuning"].values[0] == float("-inf")
    assert any(value > 0 for value in trials["ln_tuning"].constraints.values())


def test_worker_that_dies_is_given_one_more_chance(faulty: Done) -> None:
    with RunFolder.read(faulty.result.folder) as opened:
        lost = opened.trials(higher_is_better=True).superseded()
    assert [(r.candidate.method, r.cause) for r in lost] == [("head_only", Cause.WORKER_DIED)]
    assert faulty.heard.text.count("will be tried once more") == 1


def test_failed_trials_leave_no_weights(faulty: Done) -> None:
    final = {row.number for row in faulty.result.choice.finalists}
    kept = {int(p.name.split("-")[0]) for p in (faulty.result.folder / "trials").iterdir()}
    assert kept == final


def test_failures_are_on_the_leaderboard_with_their_causes(faulty: Done) -> None:
    rows = {row["method"]: row for row in faulty.result.leaderboard()}
    assert {name: rows[name]["cause"] for name in FAULTS} == {
        name: cause.value for name, (_, cause) in FAULTS.items()
    }
    assert rows["ia3"]["score"] is None
    assert not any(rows[name]["front"] for name in FAULTS)
    written = (faulty.result.folder / "leaderboard.csv").read_text()
    assert "out-of-memory" in written
    assert '<th scope="row">out-of-memory</th>' in (faulty.result.folder / "report.html").read_text(
        encoding="utf-8"
    )


def test_all_trainings_failed_is_an_error_with_the_causes_grouped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "memory:lora,memory:head_only,memory:ia3,bug:bitfit")
    with pytest.raises(NoCandidateError) as caught:
        run(settings, trials=5)
    said = str(caught.value)
    assert "4 × out-of-memory: head_only, ia3, lora (first: no memory for that)" in said
    assert "1 × bug: bitfit" in said
    assert caught.value.exit_code == 1
    assert (Path(settings["output"]) / "leaderboard.csv").is_file()


def test_full_disk_is_a_clear_error_and_the_same_command_goes_on(
    settings: Settings, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(settings["output"])
    with monkeypatch.context() as full:
        full.setenv("FAULT", "disk-full:head_only")
        with pytest.raises(RunFolderError, match=r"(?s)No space left on device.*are intact"):
            run(settings)
    before = [r for r in records_in(folder) if r.state is not TrialState.RUNNING]
    assert 0 < len(before) < 6
    result, _ = run(settings)
    assert outline(list(result.records)) == outline(list(done.result.records))
    assert "RUNNING" not in states_in(folder)


def test_memory_is_flat_over_many_trials(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    session = open_session(order(save_splits(tmp_path / "data"), tiny_folder("bert")))[0]
    candidates = [
        Candidate(method=method, learning_rate=1e-3, epochs=1)
        for method in ("lora", "full", "bitfit", "ia3", "head_only")
    ]

    def trials(count: int) -> int:
        for number in range(count):
            candidate = dataclasses.replace(
                candidates[number % len(candidates)], learning_rate=1e-3 * (1 + number)
            )
            try:
                session.trial(candidate, seed=0, artifact=tmp_path / "artifact")
            except Exception as error:
                assert "same for every" in str(error)
        return psutil.Process().memory_info().rss

    warm = trials(20)
    assert trials(80) - warm < 25_000_000


def test_second_ctrl_c_ends_it_at_once(settings: Settings) -> None:
    """While the first is still being answered."""
    from tests.robustness.run import begin, wait_for

    process = begin(settings, PAUSE="0.5")
    wait_for(Path(settings["output"]), 0)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=30)[0]
    assert process.returncode in (130, 143)
    assert "Traceback" not in said
    assert json.loads((Path(settings["output"]) / "manifest.json").read_text())["schema"] == 1
