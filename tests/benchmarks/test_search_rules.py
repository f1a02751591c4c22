"""Rules of preference are compared on plays that end with the program's own choice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.search import rules
from benchmarks.search.choice import origins_of
from benchmarks.search.choosing import RULES
from benchmarks.search.rules import Game, main, played
from tests.benchmarks.made_up import table

pytestmark = pytest.mark.slow
TABLE = table()


def test_a_wider_rule_takes_no_larger_candidate() -> None:
    game = Game(TABLE, 0.5)
    assert game.count == 100
    for seed in range(5):
        outcome = game.play(12, seed)
        sizes = [outcome[rule]["size"] for rule in ("0", "1se,0.5pt", "1se", "2se")]
        assert sizes == sorted(sizes, reverse=True)
        assert all(of["behind"] >= 0 for of in outcome.values())
        assert game.play(12, seed) == outcome


def test_on_all_rows_the_best_by_selection_is_the_best() -> None:
    """In the made-up table a test score is its selection score."""
    found = played(Game(TABLE, 1.0), 8, 5)
    assert found["rules"]["0"]["behind"] == pytest.approx(0.0, abs=0.01)
    assert found["rules"]["2se"]["behind"] > found["rules"]["0"]["behind"]


def test_table_without_the_default_is_refused() -> None:
    default = {
        fingerprint for fingerprint, origin in origins_of(TABLE).items() if origin == "default"
    }
    rows = [row for row in TABLE.rows if row.candidate.fingerprint not in default]
    with pytest.raises(ValueError, match="default LoRA on made-up are incomplete"):
        Game(dataclasses.replace(TABLE, rows=rows), 1.0)


def test_it_is_kept_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rules, "tables_of", lambda _: [TABLE])
    place = ["--result", str(tmp_path / "rules.json")]
    run = main([*place, "--plays", "1"])
    assert [(one["task"], one["tried"], one["share"]) for one in run["kinds"]] == [
        ("made-up", tried, share) for share in rules.SHARES for tried in rules.TRIED
    ]
    said = capsys.readouterr().out
    assert said.count("| made-up |") == said.count("| all tasks |") == 1
    assert said.count("| 24 tried, 30 % of the rows |") == 2
    assert all(f"`--within {rule}`" in said for rule in RULES)
    main([*place, "--show"])
    assert capsys.readouterr().out == said
