"""Screens: plain lines for pipes, a live display for terminals, nothing on request."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from autopeft.report import screen as screen_module
from autopeft.report.screen import LiveScreen, PlainScreen, Screen, SilentScreen
from autopeft.report.summary import interrupted, show


def play(screen: Screen) -> None:
    """Show a little run."""
    screen.say("data [ok]")
    screen.phase("search", 2)
    for share in (0.0, 0.5):
        screen.training(7, "lora [bold]r=8[/]", share, "30 examples/s")
    screen.training(8, "ia3", 0.1, "")
    screen.done(7, "  7  lora [bold]r=8[/]  0.9000")
    screen.phase("choice and delivery")
    screen.done(9, "never shown as running")


def test_plain_screen_prints_a_line_per_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: 100.0)
    output = io.StringIO()
    play(PlainScreen(output))
    assert output.getvalue().splitlines() == [
        "data [ok]",
        "search (2)",
        "[   0.0 s]   7  lora [bold]r=8[/]  0.9000",
        "choice and delivery",
        "[   0.0 s] never shown as running",
    ]


def test_plain_screen_prints_to_where_the_output_goes_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    PlainScreen().say("hello")
    assert capsys.readouterr().out == "hello\n"


def test_silent_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    play(SilentScreen())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("limit", [None, 60.0])
def test_live_screen_scrolls_what_is_done_and_obeys_no_markup(limit: float | None) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, color_system=None)
    with LiveScreen(console, limit) as screen:
        play(screen)
    text = output.getvalue()
    assert "data [ok]" in text
    assert "7  lora [bold]r=8[/]  0.9000" in text
    assert "never shown as running" in text
    assert "\x1b[?25h" in text, "the cursor is not back"


def test_live_screen_shows_the_seeds_of_a_trial_under_its_number() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, color_system=None)
    with LiveScreen(console, None) as screen:
        for seed in (1, 2):
            screen.training(3, "ia3", 0.5, "", seed)
        screen.done(3, "  3  ia3  0.9000, seed 1", 1)
    shown = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", output.getvalue())
    assert re.search(r"^ +3 ━+ +ia3, seed 2", shown, re.MULTILINE)
    assert "ia3, seed 1" not in shown, "a bar that is done is still there"


def test_live_screen_puts_the_cursor_back_after_a_failure() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    with pytest.raises(KeyError), LiveScreen(console, None) as screen:
        screen.phase("search")
        raise KeyError
    assert output.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in output.getvalue()


def test_stopped_run_says_the_best_so_far() -> None:
    rows = [
        {"state": "complete", "candidate": "lora r=8", "score": 0.91234},
        {"state": "stopped", "candidate": "ia3", "score": 0.99},
    ]
    assert interrupted("SIGINT", rows, "runs/a").splitlines() == [
        "stopped by SIGINT; best so far: lora r=8 with 0.9123",
        "The same command goes on from here: runs/a",
    ]
    assert "nothing finished yet" in interrupted("SIGTERM", rows[1:], "runs/a")


def test_the_front_is_shown_by_the_means_that_make_it() -> None:
    output = io.StringIO()
    row = {"name": "trial 3", "candidate": "ia3", "front": True, "score": 0.9123, "mean": 0.8456}
    show(Console(file=output, width=100), reason="", metric="accuracy", finalists=[],
         untrained_test_score=0.5, rows=[{**row, "seeds": 3, "trainable_params": 10}], lost=[],
         load_code="", folder="run")  # fmt: skip
    assert "0.8456" in output.getvalue()
    assert "0.9123" not in output.getvalue()


@pytest.mark.parametrize("folder", ["/tmp/[new]/run", "/tmp/a[/b]/run"])
def test_folders_of_any_name_are_shown_as_they_are(folder: str) -> None:
    output = io.StringIO()
    console = Console(file=output, width=100)
    show(console, reason="", metric="accuracy", finalists=[], untrained_test_score=0.5, rows=[],
         lost=[], load_code="", folder=folder)  # fmt: skip
    assert f"{folder}/report.html  all of it" in output.getvalue()
