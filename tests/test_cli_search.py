"""The command line with a finished search: what it said, and what is asked of it afterwards."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.report.table import FORMATS
from tests.command import Command, Done, in_a_process, rows_of
from tests.report.page.made_up import folder
from tests.tiny import WORDS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finished search")]

TRIALS = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished search: where it began, its folder, and what it said."""

    start: Path
    folder: Path
    said: Done


@pytest.fixture(scope="module")
def finished(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a search of three trials on a tiny model, with one label missing."""
    start = tmp_path_factory.mktemp("search")
    draw = random.Random(0)
    lines = ["text,label"]
    for row in range(80):
        words = [*draw.choices(WORDS[2:], k=draw.randrange(2, 6)), ("good", "bad")[row % 2]]
        lines.append(f"{' '.join(words)},{('fine', 'poor')[row % 2] if row != 5 else ''}")
    (start / "reviews.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (start / "space.yaml").write_text("epochs: 2\nmethods:\n  bitfit:\n", encoding="utf-8")
    said = in_a_process(
        "search", "reviews.csv", "--model", tiny_folder("bert"), "--space", "space.yaml",
        "--trials", str(TRIALS), "--output", "run", cwd=start,
    )  # fmt: skip
    assert said.code == 0, said.err
    return Run(start, start / "run", said)


def test_a_search_says_what_it_does_and_ends_with_the_choice(finished: Run) -> None:
    said = finished.said.out
    assert "task text-classification" in said
    assert "1 row of train left out: no value in column 'label' (first: row 6)" in said
    assert f"all {TRIALS} trials are done" in said
    assert "checked  reloaded in a fresh process" in said
    end = said[said.index("Choice") :]
    assert "was chosen because" in end
    assert "PeftModel.from_pretrained" in end
    assert str(finished.folder / "best") in end
    assert "\x1b" not in said, "colours where nobody can see them"


def test_the_same_command_answers_at_once(finished: Run, command: Command,
                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(finished.start)
    before = (finished.folder / "study.db").read_bytes()
    model = json.loads((finished.folder / "manifest.json").read_text())["details"]["model"]
    done = command("search", "reviews.csv", "--model", model, "--space", "space.yaml",
                   "--trials", str(TRIALS), "--output", "run", "--format", "json")  # fmt: skip
    assert len(rows_of(done, "json")) == TRIALS
    assert "checked" not in done.err, "it was delivered again"
    assert (finished.folder / "study.db").read_bytes() == before


@pytest.mark.parametrize("form", FORMATS)
def test_leaderboard(finished: Run, command: Command, form: str,
                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    done = command("leaderboard", finished.folder, "--format", form)
    names = {f"trial {number}" for number in range(TRIALS)}
    if form == "table":
        assert all(name in done.out for name in names)
        return
    rows = rows_of(done, form)
    assert {row["name"] for row in rows} == names
    assert {row["origin"] for row in rows} == {"default", "head", "portfolio"}
    if form == "csv":
        assert done.out == (finished.folder / "leaderboard.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_leaderboard_as_a_file(finished: Run, command: Command, tmp_path: Path, form: str) -> None:
    file = tmp_path / "board"
    done = command("leaderboard", finished.folder, "--format", form, "--output", file)
    assert done == Done(0, "", "")
    said = file.read_text(encoding="utf-8")
    assert all(f"trial {number}" in said for number in range(TRIALS))


def test_leaderboard_by_another_metric_another_column_and_the_front(
    finished: Run, command: Command
) -> None:
    whole = rows_of(command("leaderboard", finished.folder, "--format", "json"), "json")
    by = ("--metric", "mcc", "--sort", "trainable_params", "--front", "--format", "json")
    rows = rows_of(command("leaderboard", finished.folder, *by), "json")
    assert {row["metric"] for row in rows} == {"mcc"}
    sizes = [row["trainable_params"] for row in rows]
    assert sizes == sorted(sizes)
    assert 0 < len(rows) <= len(whole) and all(row["front"] for row in rows)
    unknown = command("leaderboard", finished.folder, "--metric", "pearson")
    assert (unknown.code, "unknown metric 'pearson'" in unknown.err) == (2, True)


def test_leaderboard_of_several_runs(finished: Run, command: Command, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    shutil.copytree(finished.folder, other)
    done = command("leaderboard", finished.folder, other, "--format", "json")
    rows = rows_of(done, "json")
    assert len(rows) == 2 * TRIALS
    assert {row["run"] for row in rows} == {str(finished.folder), str(other)}
    gone = command("leaderboard", "quik")
    assert (gone.code, "did you mean 'quick'?" in gone.err) == (2, True)
    mixed = command("leaderboard", finished.folder, "quick")
    assert (mixed.code, "not both" in mixed.err) == (2, True)


def test_predict_on_screen_and_in_a_file(finished: Run, command: Command, tmp_path: Path) -> None:
    data, file = tmp_path / "new.csv", tmp_path / "predicted.csv"
    data.write_text("text,note\nw1 good,a\nw2 bad,b\n,c\n", encoding="utf-8")
    shown = command("predict", finished.folder, data)
    rows = rows_of(shown, "csv")
    assert [row["name"] for row in rows] == ["0", "1", "2"]
    assert {row["prediction"] for row in rows} <= {"fine", "poor"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    done = command("predict", finished.folder, data, "--output", file)
    assert done == Done(0, f"3 predictions in {file}\n", "")
    assert file.read_text(encoding="utf-8") == shown.out
    moved = command("predict", finished.folder / "best", data, "--format", "json")
    assert [row["prediction"] for row in rows_of(moved, "json")] == [r["prediction"] for r in rows]


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        ("txt\na\n", [], "has no column 'text', which the model was tuned on; did you mean 'txt'?"),
        ("text\na\n", ["--output", "none/here.csv"], "cannot write none/here.csv: No such file"),
        ("text\na\n", ["--model", "./gone"], "no model folder ./gone"),
        ("text\na\n", ["--model", "./gone"], "say with --model where it is now"),
        ("", [], "the file is empty"),
        ("text\na\n", ["--output", "a.txt", "--format", "table"], "'table'; allowed: json, csv"),
    ],
)
def test_predict_says_what_is_wrong(
    finished: Run, command: Command, tmp_path: Path, data: str, more: list[str], said: str
) -> None:
    (tmp_path / "new.csv").write_text(data, encoding="utf-8")
    done = command("predict", finished.folder, tmp_path / "new.csv", *more)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.usefixtures("forked_workers")
def test_a_dry_run_prices_candidates_and_leaves_nothing(
    finished: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(finished.start.rglob("*"))
    earlier = folder(tmp_path_factory.mktemp("earlier") / "run")
    done = command("search", finished.start / "reviews.csv", "--model", tiny_folder("bert"),
                   "--dry-run", "--learn-from", earlier, "--format", "json")  # fmt: skip
    rows = {row["name"]: row for row in rows_of(done, "json")}
    assert rows["head"]["trainable_params"] == 0
    assert rows["default"]["trainable_params"] == 8 * (32 + 32) * 2 * 2
    assert {"earlier 0", "portfolio 0", "sample 0"} <= set(rows)
    assert all(row["memory_gb"] > 0 and row["train_seconds"] >= 0 for row in rows.values())
    assert list(tmp_path.iterdir()) == []
    assert sorted(finished.start.rglob("*")) == before


@pytest.mark.usefixtures("forked_workers")
def test_nothing_feasible_is_a_failure_that_names_the_limit(
    finished: Run, command: Command, tiny_folder: Callable[[str], Path]
) -> None:
    done = command("search", finished.start / "reviews.csv", "--model", tiny_folder("bert"),
                   "--methods", "lora", "--max-params", "100", "--dry-run")  # fmt: skip
    assert done.code == 1
    assert "no candidate trains at most 100 parameters; the nearest is lora" in done.err
    assert "allow --max-params 128" in done.err
