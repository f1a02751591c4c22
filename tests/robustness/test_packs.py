"""Searches whose candidates share a pass: killed, and with faults. (robustness.md 1, 4, 11–14)"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from autopeft.records import Cause, TrialState
from autopeft.store import RunFolder
from tests.robustness.conftest import Done, Settings, TrainingProcess, run
from tests.robustness.run import begin, outline, records_in, states_in, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("robustness")]


@pytest.fixture(scope="module")
def packed(
    shared: Settings, tmp_path_factory: pytest.TempPathFactory, training_process: TrainingProcess
) -> Done:
    """A finished search that nobody interrupted."""
    settings = {**shared, "trials": 10, "output": str(tmp_path_factory.mktemp("packed") / "run")}
    with training_process(PACK="4"):
        result, heard = run(settings)
    return Done(settings, result, heard)


def test_packs_come_to_the_total_and_deliver(packed: Done) -> None:
    assert len(packed.result.records) == 10
    assert not {"RUNNING", "WAITING"} & set(states_in(packed.result.folder))
    assert packed.result.choice.finalists
    assert (packed.result.best / "adapter_config.json").is_file()
    assert not (packed.result.folder / "frozen").exists()


def test_packs_find_what_trials_one_by_one_find_for_the_same_candidates(
    packed: Done, done: Done
) -> None:
    """Those that both trained to the end, whatever they were asked after."""
    together = {r.candidate.fingerprint: r.score for r in packed.result.records if r.score}
    alone = {r.candidate.fingerprint: r.score for r in done.result.records if r.score}
    both = together.keys() & alone.keys()
    assert len(both) >= 3
    assert all(abs(together[name] - alone[name]) < 0.05 for name in both)


def test_killed_in_the_middle_of_a_pack_and_gone_on_with_equals_the_uninterrupted(
    packed: Done, tmp_path: Path
) -> None:
    settings = {**packed.settings, "output": str(tmp_path / "run")}
    folder = Path(settings["output"])
    for finished in (1, 5):
        process = begin(settings, PACK="4", PAUSE="0.05")
        wait_for(folder, finished)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    process = begin(settings, PACK="4")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert outline(records_in(folder)) == outline(list(packed.result.records))
    assert not {"RUNNING", "WAITING"} & set(states_in(folder))


def test_fault_of_one_costs_the_others_of_its_pack_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACK", "8")
    monkeypatch.setenv("FAULT", "nan:ia3,bug:bitfit")
    result, _ = run(settings)
    causes = {r.candidate.method: r.cause for r in result.records if r.cause}
    assert causes == {"ia3": Cause.NON_FINITE, "bitfit": Cause.BUG}
    states = {r.candidate.method: r.state for r in result.records}
    assert states["lora"] in (TrialState.COMPLETE, TrialState.STOPPED)
    assert states["head_only"] is TrialState.COMPLETE


def test_pack_whose_worker_died_is_begun_again_one_by_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACK", "8")
    monkeypatch.setenv("FAULT", "die:ia3")
    result, _ = run(settings)
    with RunFolder.read(result.folder) as folder:
        lost = folder.trials(higher_is_better=True).superseded()
    assert {record.cause for record in lost} == {Cause.WORKER_DIED}
    assert len(lost) > 1
    causes = {r.candidate.method: r.cause for r in result.records if r.cause}
    assert causes == {"ia3": Cause.WORKER_DIED}
    assert len(result.records) == 6
