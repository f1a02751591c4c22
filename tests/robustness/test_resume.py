"""A finished run, taken up again: at once, moved, damaged, refused. (robustness.md 2, 5–9)"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from autopeft.api import load
from autopeft.api.earlier import best_of_runs
from autopeft.api.opened import Opened
from autopeft.api.reading import read_leaderboard
from autopeft.config import SearchConfig
from autopeft.errors import ModelError, RunFolderError
from autopeft.report.screen import SilentScreen
from autopeft.store import RunFolder
from autopeft.store.trials import MAX_ATTEMPTS
from tests.robustness.conftest import Done, Settings, run
from tests.robustness.run import outline, states_in, write_data, write_space

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("robustness")]


def test_finished_run_answers_at_once_with_the_same_answer(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "bug:*")
    before = {file: file.stat().st_mtime_ns for file in (done.result.folder / "best").iterdir()}
    started = time.monotonic()
    again, _ = run(done.settings)
    assert time.monotonic() - started < 10.0
    assert again.choice == done.result.choice
    assert outline(list(again.records)) == outline(list(done.result.records))
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_more_trials_go_on_from_what_there_is(copied: Settings, done: Done) -> None:
    result, _ = run(copied, trials=8)
    assert len(result.records) == 8
    assert set(outline(list(done.result.records))) <= set(outline(list(result.records)))
    assert "RUNNING" not in states_in(result.folder)


def test_a_run_on_other_data_begins_with_what_this_one_taught(
    done: Done, shared: Settings, tmp_path: Path
) -> None:
    other = write_data(tmp_path, rows=90)
    settings = {**shared, "data": str(other), "output": str(tmp_path / "run"), "trials": 4}
    result, heard = run(settings, learn_from=done.result.folder)
    before = [r.candidate.fingerprint for r in result.records if r.origin != "portfolio"]
    first = [r.candidate.fingerprint for r in result.records if r.origin == "portfolio"]
    taught = [
        one.fingerprint
        for one in best_of_runs([done.result.folder])
        if one.method in ("lora", "ia3", "bitfit") and one.fingerprint not in before
    ]
    assert taught and first[: len(taught)] == taught[: len(first)]
    assert "candidates of earlier runs come first" in heard.text
    with pytest.raises(RunFolderError, match="learn_from"):
        run(settings)


def test_moved_run_still_opens(copied: Settings, done: Done, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "gone away"
    moved.parent.mkdir()
    Path(copied["output"]).rename(moved)
    assert len(read_leaderboard(moved)) == len(done.result.records)
    again, _ = run(copied, output=str(moved))
    assert again.choice == done.result.choice
    assert again.folder == moved
    texts = ["good w1 w2", "bad w3"]
    assert load(moved).predict(texts) == done.result.predict(texts)


def test_damaged_weights_are_trained_again_and_not_the_end(copied: Settings, done: Done) -> None:
    """The chosen seed's weights are cut short, another finalist's are gone."""
    folder = Path(copied["output"])
    (folder / "result.json").unlink()
    choice = done.result.choice
    file = next((folder / "trials" / f"{choice.number}-{choice.seed}").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-40])
    own = next(row.number for row in choice.finalists if row.number != choice.number)
    shutil.rmtree(folder / "trials" / f"{own}-0")
    result, heard = run(copied)
    assert result.choice == choice
    assert outline(list(result.records)) == outline(list(done.result.records))
    assert f"the weights of trial {own} were gone: trained again" in heard.text


def test_weights_that_cannot_be_had_again_cost_only_themselves(
    copied: Settings, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(copied["output"])
    (folder / "result.json").unlink()
    number = done.result.choice.number
    for weights in (folder / "trials").glob(f"{number}-*"):
        shutil.rmtree(weights)
    monkeypatch.setenv("FAULT", f"memory:{done.result.choice.method}")
    others = [r for r in done.result.records if r.candidate.method != done.result.choice.method]
    result, _ = run(copied)
    assert result.choice.number != number
    assert any(r.number == result.choice.number for r in [*others, *done.result.records])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data", "data: "),
        ("space", "space: "),
        ("seed", "seed: 0 there, 5 now"),
        ("model", "model: "),
        ("schema", "schema: 999 there, 1 now"),
    ],
)
def test_another_run_in_the_folder_is_refused_with_the_difference(
    copied: Settings, tmp_path: Path, change: str, said: str
) -> None:
    from tests.tiny import tiny_model

    other: dict[str, Any] = {}
    if change == "data":
        other = {"data": str(write_data(tmp_path, rows=100))}
    elif change == "space":
        text = "epochs: 3\nmethods:\n  ia3:\n"
        other = {"space": str(write_space(tmp_path, text))}
    elif change == "seed":
        other = {"seed": 5}
    elif change == "model":
        other = {"model": str(tiny_model("bert", tmp_path / "model", seed=1))}
    else:
        manifest = Path(copied["output"]) / "manifest.json"
        values = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**values, "schema": 999}))
    before = states_in(Path(copied["output"]))
    with pytest.raises(RunFolderError) as caught:
        run(copied, **other)
    assert said in str(caught.value)
    assert "--fork" in str(caught.value)
    assert states_in(Path(copied["output"])) == before


def test_fork_begins_beside_it(copied: Settings) -> None:
    data = copied.pop("data")
    config = SearchConfig.build(**copied, fork=True, seed=5)
    with Opened(data, config, SilentScreen()) as forked:
        assert forked.path == Path(copied["output"] + "-2")


def test_second_supervisor_is_refused_by_name(copied: Settings) -> None:
    manifest = json.loads((Path(copied["output"]) / "manifest.json").read_text())
    holder = RunFolder.open(copied["output"], identity=manifest["identity"])
    with holder, pytest.raises(RunFolderError, match=f"in use by process {os.getpid()}"):
        run(copied)
    assert len(run(copied)[0].records) == 6


def test_folder_of_something_else_is_left_alone(settings: Settings) -> None:
    folder = Path(settings["output"])
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        run(settings)
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]


def test_folder_that_cannot_be_made_is_said_before_training(settings: Settings) -> None:
    blocked = Path(settings["output"])
    blocked.write_text("a file")
    with pytest.raises(RunFolderError, match="cannot write"):
        run(settings, output=str(blocked / "run"))


def test_folder_that_holds_no_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tuned model; expected .*autopeft\.json"):
        load(tmp_path)


def test_model_that_was_taken_away_is_delivered_again(copied: Settings, done: Done) -> None:
    shutil.rmtree(Path(copied["output"]) / "best")
    again, heard = run(copied)
    assert again.choice == done.result.choice
    assert "reloaded in a fresh process" in heard.text
    assert again.predict(["good w1"]) == done.result.predict(["good w1"])


def test_splits_that_were_not_saved_whole_are_saved_again(copied: Settings, done: Done) -> None:
    folder = Path(copied["output"])
    (folder / "result.json").unlink()
    (folder / "data" / "train" / "dataset_info.json").unlink()  # a kill came before it
    assert run(copied)[0].choice == done.result.choice


def test_a_trial_that_was_interrupted_too_often_is_not_said_to_be_tried_again(
    copied: Settings,
) -> None:
    folder = Path(copied["output"])
    identity = json.loads((folder / "manifest.json").read_text())["identity"]
    with RunFolder.open(folder, identity=identity) as opened:
        trials = opened.trials(higher_is_better=True)
        proposal = trials.standing()[-1].user_attrs["proposal"]
        for attempts, rate in ((1, 0.01), (MAX_ATTEMPTS, 0.02)):
            candidate = {**proposal["candidate"], "learning_rate": rate}
            trials.enqueue({**proposal, "candidate": candidate, "params": {}, "attempts": attempts})
            trials.study.ask()
        first, second = (trial.number for trial in trials.all()[-2:])
    _, heard = run(copied, trials=8)
    assert f"resumed trial {first} was lost (interrupted): tried once more" in heard.text
    assert f"resumed trial {second} was lost (interrupted): given up" in heard.text
