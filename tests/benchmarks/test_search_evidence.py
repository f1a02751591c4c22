"""Kinds of evidence are compared by what the choice scores on test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from autopeft.records import Candidate
from benchmarks.search import evidence
from benchmarks.search.evidence import WORST, Known, main, played
from tests.benchmarks.made_up import table
from tests.search.made_up import final_score

pytestmark = pytest.mark.slow
TABLE = table()


def of_noise(one: Candidate, params: int, seed: int) -> float:
    """Return a score whose every second decimal is luck."""
    luck = np.random.default_rng([params, seed, int(one.learning_rate * 1e6)]).normal(0, 0.05)
    return float(np.clip((final_score(one, params, 0) or 0.5) + luck, 0.3, 0.99))


def test_where_tests_are_as_selection_and_seeds_alike_the_own_score_is_never_wrong() -> None:
    made = table(lambda one, params, _: final_score(one, params, 0))
    regrets = played(Known.of(made, []), 20)
    assert regrets["own score"] == 0
    assert regrets["smoothed, length 8"] > 0


def test_what_other_tasks_say_helps_against_luck() -> None:
    lucky = table(of_noise, test=final_score)
    regrets = played(Known.of(lucky, [table(task="other")]), 100)
    assert regrets["other tasks, weight 1"] < regrets["own score"]


def test_what_is_known_is_by_row_and_seed() -> None:
    known = Known.of(TABLE, [TABLE])
    count = len([row for row in TABLE.rows if row.test is not None])
    assert known.kept.shape == known.last[2].shape == (count, 2)
    assert known.apart.shape == (count, count)
    assert np.allclose(known.apart, known.apart.T)
    assert known.elsewhere.max() == 0
    assert known.elsewhere.min() >= -WORST
    without = dataclasses.replace(TABLE, rows=TABLE.rows[:1])
    assert -WORST in Known.of(TABLE, [without]).elsewhere


def test_it_is_kept_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evidence, "tables_of", lambda _: [TABLE, table(task="other")])
    place = ["--result", str(tmp_path / "evidence.json")]
    run = main([*place, "--plays", "2"])
    assert set(run["regrets"]) == {"made-up", "other"}
    said = capsys.readouterr().out
    assert "own score" in said
    main([*place, "--show"])
    assert capsys.readouterr().out == said
