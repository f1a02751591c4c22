"""The speed benchmark does the same work on both sides and times only what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import ledger
from benchmarks.speed import busy, single_candidate
from benchmarks.speed.contender import Outcome, require_equal
from benchmarks.speed.laps import Laps

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' Trainer, the peer


def outcome(**changes: Any) -> Outcome:
    values = {
        "examples": 100,
        "trained_params": 7,
        "train_seconds": 2.0,
        "evaluation_seconds": 3.0,
        "whole_seconds": 10.0,
        "test_accuracy": 0.8,
    }
    return Outcome(**(values | changes))


def test_laps_tell_training_from_evaluation() -> None:
    laps = Laps(started=10.0, trained=[13.0, 20.0], evaluated=[15.0, 24.0])
    assert laps.train_seconds == 3.0 + 5.0
    assert laps.evaluation_seconds == 2.0 + 4.0


def test_summary_is_examples_over_the_time_it_names() -> None:
    runs = {"autopeft": [outcome(train_seconds=1.0)], "trainer": [outcome()]}
    found = single_candidate._speed_summary(runs)
    assert found["training"]["trainer"]["examples_per_second"]["median"] == 50
    assert found["training"]["trainer"]["ours_is_faster"]["median"] == 2.0
    assert found["with_evaluation"]["trainer"]["ours_is_faster"]["median"] == 5.0 / 4.0
    assert found["whole"]["trainer"]["examples_per_second"]["median"] == 10


def test_different_work_is_refused() -> None:
    with pytest.raises(RuntimeError, match="did different work"):
        require_equal({"autopeft": [outcome()], "trainer": [outcome(examples=101)]})


@pytest.mark.slow
def test_speed_and_accuracy_are_measured_side_by_side(
    reviews: Path, model: str, tmp_path: Path
) -> None:
    file = tmp_path / "speed.json"
    common = ["--data", str(reviews), "--model", model, "--result", str(file), "--epochs", "2"]
    result = single_candidate.main([*common, "--repeats", "1", "--examples", "50"])
    assert result["runs"].keys() == {"autopeft", "trainer"}
    for name in ("autopeft", "trainer"):
        (run,) = result["runs"][name]  # the first round is thrown away
        assert run["examples"] == 100  # rows of the last, smaller batch counted as they are
        assert 0 < run["train_seconds"] + run["evaluation_seconds"] < run["whole_seconds"]
        assert run["train_seconds"] > 0 < run["evaluation_seconds"]
    single_candidate.main([*common, "--accuracy", "--seeds", "2", "--strong"])
    kept = ledger.read(file)
    assert [run["benchmark"] for run in kept] == ["speed", "accuracy"]
    summary = kept[1]["summary"]
    assert summary.keys() == {"autopeft", "trainer", "trainer-strong"}
    assert summary["autopeft"]["ours_minus_theirs"] == {"mean": 0.0, "standard_error": 0.0}
    assert 0 <= summary["trainer"]["test_accuracy"]["mean"] <= 1


@pytest.mark.slow
def test_training_beside_busy_processes_is_measured_with_either_number_of_threads(
    reviews: Path, model: str, tmp_path: Path
) -> None:
    given = ["--data", str(reviews), "--model", model, "--result", str(tmp_path / "busy.json")]
    result = busy.main([*given, "--others", "0", "1", "--repeats", "2", "--examples", "40"])
    assert ledger.read(tmp_path / "busy.json")[0]["found"] == result["found"]
    assert [one["others"] for one in result["found"]] == [0, 1]
    for one in result["found"]:
        assert 1 <= one["threads"]["measured"] <= one["threads"]["all"]
        assert {name: len(seconds) for name, seconds in one["train_seconds"].items()} == {
            "all": 2,
            "measured": 2,
        }
