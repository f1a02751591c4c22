"""Results are only ever added to; summaries are what their names say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import ledger
from benchmarks.demo.memory import growth
from benchmarks.demo.searched import limit_of
from benchmarks.spread import paired, plus_minus, spread


def test_runs_are_added_with_their_circumstances(tmp_path: Path) -> None:
    file = tmp_path / "results" / "runs.json"
    assert ledger.read(file) == []
    ledger.append(file, {"score": 1})
    first = ledger.read(file)
    ledger.append(file, {"score": 2})
    runs = ledger.read(file)
    assert runs[:1] == first
    assert [run["score"] for run in runs] == [1, 2]
    assert runs[1]["date"] >= runs[0]["date"]
    assert {"torch", "peft"} <= runs[0]["versions"].keys()
    assert runs[0]["hardware"]["cores"] >= 1
    assert [path.name for path in file.parent.iterdir()] == ["runs.json"]


def test_paired_difference_has_its_standard_error() -> None:
    found = paired([0.9, 0.8, 0.7], [0.8, 0.8, 0.5])
    assert found["mean"] == pytest.approx(0.1)
    assert found["standard_error"] == pytest.approx(0.1 / math.sqrt(3))
    assert paired([0.9], [0.8])["standard_error"] is None


def test_spread_of_one_value_has_no_deviation() -> None:
    assert spread([2.0])["sd"] is None
    assert spread([1.0, 2.0, 6.0]) == pytest.approx(
        {"median": 2.0, "mean": 3.0, "sd": math.sqrt(7), "low": 1.0, "high": 6.0}
    )
    assert plus_minus(0.5, 0.01, 2) == "0.50 ± 0.01"
    assert plus_minus(0.5, None, 2) == "0.50"


def test_growth_ignores_what_fills_caches_first() -> None:
    values = [10**6 * level for level in (1, 50, *range(100, 108))]
    found = growth(values)
    assert found["kb_per_training"] == pytest.approx(1_000)
    assert found["mb_per_hundred"] == pytest.approx(100)
    assert found["first_mb"] == 1
    assert found["highest_mb"] == 107


def test_limit_is_the_given_one_or_the_demo_s_own() -> None:
    assert limit_of("demo", "90s") == 90
    assert limit_of("demo:bbc", None) == 180
    assert limit_of("demo", None, ["--trials", "3"]) is None
    assert limit_of("reviews.csv", None) is None
