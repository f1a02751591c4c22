"""A suite is run cell by cell: nothing twice, nothing silently left out."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from autopeft.bench import run as run_module
from autopeft.bench import unfit as unfit_module
from autopeft.bench.board import read_board
from autopeft.bench.cells import Cells, Searched
from autopeft.bench.chosen import seconds, tries
from autopeft.bench.pace import Pace
from autopeft.bench.part import Part
from autopeft.bench.preview import preview
from autopeft.bench.run import Running
from autopeft.bench.suite import Block
from tests.bench.conftest import Ran

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("suite")]
FINE = Block(backbone="tiny", task="fine", examples=40, epochs=1)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()[1:]]


def test_every_rate_is_tried_once_and_the_best_goes_on(ran: Ran) -> None:
    cells = Cells(ran.places.cells(FINE))
    entry = ran.suite.entries[1]
    tried = {
        cell.candidate.learning_rate: cells.get(cell) for cell in tries(ran.suite, entry, FINE)
    }
    scores = {rate: line["selection"]["accuracy"] for rate, line in tried.items() if line}
    assert len(scores) == 2
    further = [
        line["candidate"]["learning_rate"]
        for line in lines_of(ran.places.cells(FINE))
        if line["seed"] == 1 and line["candidate"]["method"] == "lora"
    ]
    assert [scores[rate] for rate in further] == [max(scores.values())]


def test_what_cannot_be_had_is_said_with_its_reason(ran: Ran) -> None:
    assert "tiny/gone, 40 examples: left out: the data root has no gone.csv" in ran.said
    assert "huge/fine, 40 examples: left out: the model root has no huge" in ran.said
    (group, other) = read_board(Part.of(ran.suite), ran.places).groups
    gone = next(table for table in group.tasks if table.task == "gone")
    assert {row.note for row in gone.standings} == {"the data root has no gone.csv"}
    assert {
        row.note for table in other.tasks for row in table.standings if table.task != "gone"
    } == {"the model root has no huge"}


def test_a_method_that_cannot_run_is_left_out_with_its_reason(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infeasible(*_: object) -> tuple[tuple[str, ...], dict[str, str]]:
        return (), {"lora": "made up"}

    said: list[str] = []
    (tmp_path / "cells").mkdir()
    running = ran.running(tmp_path, said, tasks=["fine"], backbones=["tiny"], rows=["lora"])
    monkeypatch.setattr(unfit_module, "feasible_methods", infeasible)
    running.run()
    assert "tiny/fine, 40 examples, lora: left out: made up" in said
    assert running.todo(FINE) == []
    ((table,),) = [group.tasks for group in read_board(running.part, running.places).groups]
    assert [(row.state, row.note) for row in table.standings] == [("missing", "made up")]


def test_the_same_command_trains_nothing_again(ran: Ran, tmp_path: Path) -> None:
    said: list[str] = []
    rows = ["head_only", "lora", "p_tuning_v2"]
    running = ran.running(tmp_path, said, rows=rows, backbones=["tiny"], tasks=["fine"])
    before = running.places.cells(FINE).read_bytes()
    running.run()
    assert said == ["tiny/fine, 40 examples: all there"]
    assert running.places.cells(FINE).read_bytes() == before
    assert list(preview(running)) == ["tiny/fine, 40 examples: all there"]


def test_what_a_kill_cut_off_is_all_that_is_trained_again(ran: Ran, tmp_path: Path) -> None:
    said: list[str] = []
    rows = ["head_only", "lora", "p_tuning_v2"]
    running = ran.running(tmp_path, said, rows=rows, backbones=["tiny"], tasks=["fine"])
    file = running.places.cells(FINE)
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    kept = whole.rstrip(b"\n").rpartition(b"\n")[0]
    assert len(list(preview(running))) == 1
    running.run()
    assert file.read_bytes().startswith(kept)
    plain = ("candidate", "seed", "selection", "test", "predicted", "curve")
    one, other = (json.loads(text.splitlines()[-1]) for text in (whole, file.read_bytes()))
    assert {key: one.get(key) for key in plain} == {key: other.get(key) for key in plain}


def test_a_cell_that_is_repeated_counts_and_the_old_line_stays(ran: Ran, tmp_path: Path) -> None:
    said: list[str] = []
    options = {"rows": ["lora"], "backbones": ["tiny"], "tasks": ["fine"], "seeds": [1]}
    running = ran.running(tmp_path, said, again=True, **options)
    file = running.places.cells(FINE)
    before = lines_of(file)
    running.run()
    after = lines_of(file)
    assert after[: len(before)] == before
    (new,) = after[len(before) :]
    assert (new["seed"], new["candidate"]["method"]) == (1, "lora")


def test_a_search_waits_for_all_methods_and_gets_their_time(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[int, float] = {}

    def searched(cell: Searched, *_: object, limit_seconds: float, **__: object) -> dict[str, Any]:
        limits[cell.seed] = limit_seconds
        return {"state": "failed", "cause": "no-candidate", "message": "made up"}

    monkeypatch.setattr(run_module, "run_search", searched)
    said: list[str] = []
    running = ran.running(
        tmp_path, said, rows=["search"], backbones=["tiny"], tasks=["fine"], seeds=[1]
    )
    file = running.places.cells(FINE)
    whole = file.read_text(encoding="utf-8")
    file.write_text(
        "".join(text for text in whole.splitlines(True) if '"seed": 1' not in text), "utf-8"
    )
    running.run()
    assert limits == {}
    (waiting,) = [line for line in said if "left out" in line]
    assert "search: left out: its time is that of all methods: head_only, lora" in waiting
    file.write_text(whole, encoding="utf-8")
    running.run()
    lines = [line for line in lines_of(file) if line.get("candidate") and line["seed"] == 1]
    took = sum(line["costs"]["train_seconds"] for line in lines if "costs" in line)
    assert limits == {1: pytest.approx(took)}
    here = Pace(hardware=lines[0]["hardware"], about={})
    assert limits[1] == pytest.approx(seconds(Cells(file), ran.suite, FINE, 1, here))
    assert running.todo(FINE) == []
    short = [dataclasses.replace(one, limit_seconds=took / 2) for one in ran.suite.policies]
    limited = dataclasses.replace(ran.suite, policies=tuple(short))
    part = dataclasses.replace(running.part, suite=limited)
    dataclasses.replace(running, part=part, again=True).run()
    assert limits == {1: took / 2}
    ((table,),) = [group.tasks for group in read_board(running.part, running.places).groups]
    assert "no-candidate: made up" in table.standings[0].note


@pytest.mark.slow
def test_a_search_is_one_cell_with_the_price_of_all_it_trained(ran: Ran, tmp_path: Path) -> None:
    said: list[str] = []
    running = ran.running(
        tmp_path, said, rows=["search"], backbones=["tiny"], tasks=["fine"], seeds=[0]
    )
    running.run()
    line = Cells(running.places.cells(FINE)).get(Searched("search", "quick", 0))
    assert line is not None
    assert line["state"] == "complete", line
    assert line["trainings"] >= line["trials"] >= 2
    assert line["chosen"]["method"] in line["reason"]
    assert line["costs"]["trainable_params"] >= 0
    assert set(line["test"]) == {"accuracy", "macro-f1", "mcc"}
    assert not list(running.places.cells(FINE).parent.glob(".search-*")), "its run is not kept"


COMMAND = """
import sys
from autopeft.bench import training
whole = training.Bench._train
def train(self, pack, told):
    print("begun", flush=True)
    whole(self, pack, told)
training.Bench._train = train
sys.argv = ["autopeft", *sys.argv[1:]]
from autopeft.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_interruption_costs_the_pass_in_hand(
    ran: Ran, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    words = ["bench", ran.suite.source, "--backbones", "tiny", "--tasks", "fine"]
    words += ["--methods", "head_only,lora,p_tuning_v2", "--results", str(tmp_path)]
    words += ["--data-root", str(ran.places.data), "--model-root", str(ran.places.models)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    begun = 0
    while begun < 2:
        said = process.stdout.readline()
        assert said, "it ended before it could be stopped"
        begun += said == "begun\n"
    time.sleep(0.05)
    os.kill(process.pid, sent)
    process.communicate(timeout=120)
    assert process.returncode == code
    file = tmp_path / "tiny" / "fine-40.jsonl"
    kept = lines_of(file)
    assert kept
    if sent is signal.SIGKILL:
        _goes_on(ran, tmp_path, kept)


def _goes_on(ran: Ran, results: Path, kept: list[dict[str, Any]]) -> None:
    """Check that the same command ends at what an undisturbed one has, training nothing twice."""
    part = Part.of(
        ran.suite, backbones=["tiny"], tasks=["fine"], rows=["head_only", "lora", "p_tuning_v2"]
    )
    places = dataclasses.replace(ran.places, results=results)
    Running(part=part, places=places, say=lambda _: None).run()
    lines, whole = lines_of(places.cells(FINE)), lines_of(ran.places.cells(FINE))
    assert lines[: len(kept)] == kept

    def results_of(found: list[dict[str, Any]]) -> list[str]:
        keys = ("seed", "candidate", "selection", "test", "cause")
        return sorted(str([line.get(key) for key in keys]) for line in found)

    assert results_of(lines) == results_of(whole)
