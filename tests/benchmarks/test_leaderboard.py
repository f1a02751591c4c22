"""The committed leaderboards are what the committed cells say."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from autopeft.bench.suite import shipped_suites
from tests.command import ROOT, Command, in_this_process

COMMANDS = [
    shlex.split(text)[3:]
    for text in (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    if "autopeft.cli leaderboard" in text
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    return in_this_process(monkeypatch, capsys)


def test_both_boards_have_every_shipped_suite() -> None:
    assert [words[-1] for words in COMMANDS] == [
        "benchmarks/LEADERBOARD.md", "benchmarks/leaderboard.html",
    ]  # fmt: skip
    assert all(set(shipped_suites()) <= set(words) for words in COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: Path(words[-1]).name)
def test_what_is_committed_is_what_the_cells_say(
    command: Command, words: list[str], tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    done = command(*words[:-1], fresh)
    assert done.code == 0, done.err
    committed = (ROOT / words[-1]).read_text(encoding="utf-8")
    assert fresh.read_text(encoding="utf-8") == committed, "run: make leaderboard"
