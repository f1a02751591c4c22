"""The simulations of the choice and of stopping, and the page that shows their tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.search.load import load_space
from autopeft.search.portfolio import hand_made
from benchmarks import ledger
from benchmarks.search import choosing, stopping
from tests.command import ROOT

PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", [choosing, stopping])
def test_the_page_shows_the_tables_of_the_last_run(script: type) -> None:
    table = "\n".join(script.tables(ledger.read(script.RESULT)[-1]))  # type: ignore[attr-defined]
    assert table in PAGE


def test_a_short_run_of_the_choice_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    run = choosing.main(["--plays", "2", "--result", str(file)])
    assert ledger.read(file) == [run]
    for kind in run["kinds"].values():
        assert 0 <= kind["kept"] <= 1
        assert kind["race"]["race"]["trainings"] <= kind["race"]["equal"]["trainings"] == 10
        assert kind["rules"]["0"]["size"] >= kind["rules"]["2se"]["size"]


def test_our_search_stops_by_what_it_finds_and_not_by_what_is_shipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    methods = [one.method for one in hand_made(load_space("default"))]
    first = [method for method in methods if method != "lora"]  # the default is a reference
    monkeypatch.setattr(stopping, "LONGEST", 2 + len(first))
    tried = [record.candidate.method for record in stopping.own_search(0)]
    assert tried[2:] == first


def test_a_short_run_of_stopping_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    run = stopping.main(["--plays", "2", "--own", "0", "--result", str(file)])
    assert ledger.read(file) == [run]
    assert set(run["kinds"]) == {"random", "learning"}
    for kind in run["kinds"].values():
        fewest, median, most = kind["stopped_after"]
        assert 0 < fewest <= median <= most <= stopping.LONGEST
