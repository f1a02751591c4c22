"""The race: the peer's best score is the goal, and the time to reach it is told honestly."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from autopeft.store import RunFolder
from autopeft.train.session import Setting
from benchmarks.speed import race
from benchmarks.speed.peer import GROUPED
from benchmarks.speed.peer_search import Progress
from tests.report.page.made_up import records

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' Trainer, the peer


@pytest.mark.slow
def test_both_search_the_same_rows(
    reviews: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is measured to be faster may differ from call to call; a kept race has one peer.
    monkeypatch.setattr(race, "strongest", lambda: GROUPED)
    options = ["--assets", str(reviews.parent), "--tasks", reviews.name, "--model", model]
    options += ["--seeds", "1", "--seconds", "20", "--examples", "60", "--others", "24"]
    options += ["--result", str(tmp_path / "race.json")]
    (one,) = race.main(options)
    (kept,) = json.loads((tmp_path / "race.json").read_text(encoding="utf-8"))
    assert one == kept
    assert race.main(options) == [one], "it is there"
    assert len(json.loads((tmp_path / "race.json").read_text(encoding="utf-8"))) == 1
    goal = one["peer"]["best"][-1][1]
    assert one["peer"]["trials"] >= 1
    assert 0 < goal <= 1
    if one["seconds"] is not None:
        assert one["ours"]["best"][-1][1] >= goal
        assert one["share"] == pytest.approx(one["seconds"] / 20)
    else:
        assert one["ours"]["best"][-1][1] < goal
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"


@pytest.mark.parametrize("task", ["subj", "reviews"])
def test_our_search_knows_nothing_of_the_task(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def begun(command: list[str], **_: object) -> None:
        commands.append(command)
        raise OSError

    monkeypatch.setattr(race, "write_folder", lambda *_: None)
    monkeypatch.setattr(race.subprocess, "Popen", begun)
    setting = Setting(
        data="", model="tiny", task="classification", labels=("a",), metric="f1", max_length=8
    )
    with pytest.raises(OSError):
        race.our_search(task, setting, 0, 60.0, 1.0)
    wanted = {"subj": ["--leave-out", "subj"], "reviews": []}
    assert [text for text in commands[0] if text in ("--leave-out", "subj")] == wanted[task]


def test_what_a_trial_kept_counts_beside_what_it_had_at_rungs(tmp_path: Path) -> None:
    (made,) = records(1)
    best = dataclasses.replace(made, score=0.99)
    with RunFolder.open(tmp_path / "run", identity={"seed": 0}, details={}) as run:
        trials = run.trials(higher_is_better=True)
        proposal = {"candidate": made.candidate.to_json(), "seed": 0, "origin": made.origin}
        trials.enqueue({**proposal, "params": {}, "trainable_params": 8})
        trials.study.ask()
        trials.point(0, made.curve[0])
        progress = Progress()
        race._look(tmp_path / "run", progress, 3.0)
        trials.conclude(best)
    race._look(tmp_path / "run", progress, 7.0)
    assert progress.best[0] == (3.0, made.curve[0].score)
    assert progress.best[-1] == (7.0, 0.99)


def test_only_better_scores_are_progress() -> None:
    progress = Progress()
    for seconds, score in ((1.0, 0.5), (2.0, 0.5), (3.0, 0.7), (4.0, 0.6)):
        progress.note(seconds, score)
    assert progress.best == [(1.0, 0.5), (3.0, 0.7)]
    assert progress.score == 0.7


def test_the_median_share_counts_what_missed_the_goal() -> None:
    assert race.median_share([{"share": 0.1}, {"share": None}, {"share": 0.3}]) == 0.3
    assert race.median_share([{"share": 0.1}, {"share": None}, {"share": None}]) is None
