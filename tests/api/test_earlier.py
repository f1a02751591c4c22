"""What earlier runs teach: their choice first, then their fronts, in turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.api.earlier import MOST, best_of_runs
from autopeft.api.reading import read_leaderboard
from autopeft.config import SearchConfig
from autopeft.errors import ConfigError, RunFolderError
from autopeft.store import RunFolder
from tests.report.page.made_up import folder, records


def front_of(run: Path) -> list[str]:
    """Return the candidates of a run's front, the most accurate first."""
    rows = [row for row in read_leaderboard(run) if row["front"]]
    return [str(row["candidate"]) for row in sorted(rows, key=lambda r: -float(str(r["score"])))]


def test_the_choice_comes_first_and_then_the_front(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", 12)
    found = [one.describe() for one in best_of_runs([run])]
    chosen = records(12)[2].candidate.describe()
    assert found[0] == chosen
    assert found[1:] == [one for one in front_of(run) if one != chosen][: MOST - 1]
    assert len(found) > 2


def test_of_an_unfinished_run_the_front_counts(tmp_path: Path) -> None:
    run = folder(tmp_path / "cut", finished=False)
    assert [one.describe() for one in best_of_runs([run])] == front_of(run)[:MOST]


def test_runs_take_turns_and_nothing_comes_twice(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", 12), folder(tmp_path / "other", 30)
    first, second = ([c.fingerprint for c in best_of_runs([run])] for run in (one, other))
    found = [c.fingerprint for c in best_of_runs([one, other, one])]
    turns = [one for pair in zip(first, second, strict=False) for one in pair]
    assert found[:4] == list(dict.fromkeys(turns))[:4]
    assert len(set(found)) == len(found) <= MOST
    assert set(found) <= {*first, *second}


def test_no_runs_teach_nothing() -> None:
    assert best_of_runs([]) == []


def test_what_has_nothing_to_teach_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        best_of_runs([tmp_path])
    with RunFolder.open(tmp_path / "begun", identity={"metric": "accuracy"}) as run:
        run.trials(higher_is_better=True)
    with pytest.raises(RunFolderError, match="none of its trainings has ended"):
        best_of_runs([tmp_path / "begun"])


def test_runs_are_given_in_many_ways() -> None:
    wanted = (Path("a"), Path("b"))
    for given in ("a,b", "a, b", ["a", Path("b")], wanted):
        assert SearchConfig.build(learn_from=given).learn_from == wanted
    assert SearchConfig.build(learn_from=Path("a")).learn_from == (Path("a"),)
    assert SearchConfig.build(learn_from="a").to_json()["learn_from"] == ["a"]
    with pytest.raises(ConfigError, match="--learn-from"):
        SearchConfig.build(learn_from=" , ")
