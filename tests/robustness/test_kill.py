"""Stopped and killed in many ways, then finished by the same command. (robustness.md 1–4, 24)"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from autopeft.api.sitting import FINALISTS
from autopeft.records import Cause
from autopeft.store import RunFolder
from tests.robustness.conftest import Done, Settings
from tests.robustness.run import begin, outline, records_in, states_in, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("robustness")]
STEP = "0.02"


@dataclass
class Battered:
    """A run that was stopped four times, and how each sitting ended."""

    folder: Path
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def battered(shared: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battered]:
    folder = tmp_path_factory.mktemp("battered") / "run"
    settings = {**shared, "output": str(folder)}
    story = Battered(folder)
    for sitting, sent in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)):
        process = begin(settings, PAUSE=STEP)
        wait_for(folder, sitting + 1)
        children = psutil.Process(process.pid).children()
        process.send_signal(sent)
        _end(process, story)
        _, alive = psutil.wait_procs(children, timeout=10)
        story.orphans += [child.pid for child in alive]
    process = begin(settings, PAUSE=STEP)
    wait_for(folder, 4)
    for child in psutil.Process(process.pid).children():
        child.kill()
    _end(process, story)
    yield story


def _end(process: subprocess.Popen[str], story: Battered) -> None:
    story.said.append(process.communicate(timeout=120)[0])
    story.codes.append(process.returncode)
    page = story.folder / "report.html"
    story.pages.append(page.read_text(encoding="utf-8") if page.is_file() else "")
    story.finished.append(sum(r.state.value != "running" for r in records_in(story.folder)))


def test_exit_codes_tell_what_ended_it(battered: Battered) -> None:
    assert battered.codes == [130, 143, -9, 0], battered.said[-1]


def test_interrupted_run_says_the_best_so_far_and_how_to_go_on(battered: Battered) -> None:
    for said, name in zip(battered.said, ("SIGINT", "SIGTERM"), strict=False):
        assert f"stopped by {name}; best so far: " in said
        assert f"The same command goes on from here: {battered.folder}" in said
        assert "Traceback" not in said


def test_interrupted_run_has_a_page_of_what_is_there(battered: Battered) -> None:
    for page in battered.pages[:2]:
        assert "Nothing was delivered" in page and '<section id="front"' in page
    assert "Nothing was delivered" not in battered.pages[-1]


def test_no_training_process_outlives_its_supervisor(battered: Battered) -> None:
    assert battered.orphans == []


def test_nothing_finished_is_lost_on_the_way(battered: Battered) -> None:
    assert battered.finished == sorted(battered.finished)
    assert battered.finished[0] < battered.finished[-1] == 6


def test_total_is_what_was_asked_and_nothing_is_left_running(battered: Battered) -> None:
    assert len(records_in(battered.folder)) == 6
    assert not {"RUNNING", "WAITING"} & set(states_in(battered.folder))


def test_nothing_is_trained_twice_but_what_was_lost(battered: Battered) -> None:
    with RunFolder.read(battered.folder) as run:
        store = run.trials(higher_is_better=True)
        lost, kept = store.superseded(), store.records()
    assert 0 < len(lost) <= 4
    assert {record.cause for record in lost} <= {Cause.INTERRUPTED, Cause.WORKER_DIED}
    finished = [record.candidate.fingerprint for record in kept]
    assert len(finished) == len(set(finished)) == 6


def replicates_in(folder: Path) -> list[tuple[Any, ...]]:
    with RunFolder.read(folder) as run:
        found = run.trials(higher_is_better=True).all_replicates()
    return sorted(
        (one.candidate.describe(), one.seed, one.state.value, one.score)
        for records in found.values()
        for one in records
    )


def test_equals_the_run_that_nobody_interrupted(battered: Battered, done: Done) -> None:
    assert outline(records_in(battered.folder)) == outline(list(done.result.records))
    assert replicates_in(battered.folder) == replicates_in(done.result.folder)
    assert (battered.folder / "best" / "adapter_model.safetensors").read_bytes() == (
        done.result.best / "adapter_model.safetensors"
    ).read_bytes()


def test_few_weights_are_left_beside_the_finalists(battered: Battered, done: Done) -> None:
    final = {row.number for row in done.result.choice.finalists}
    for folder in (battered.folder, done.result.folder):
        kept = [path.name for path in (folder / "trials").iterdir()]
        assert len(kept) <= 3 * len(final) + FINALISTS
    names = [path.name for path in (done.result.folder / "trials").iterdir()]
    assert final <= {int(name.split("-")[0]) for name in names}
