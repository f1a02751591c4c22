"""The command line: light, complete, the same in three formats, and clear where it fails."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

import autopeft
from autopeft import cli
from autopeft.api import searching
from autopeft.config import SearchConfig
from autopeft.errors import NoCandidateError
from autopeft.methods import METHODS
from autopeft.report.table import FORMATS
from autopeft.search.spaces import shipped_spaces
from autopeft.tasks import TASKS
from tests.command import ROOT, Command, Done, in_a_process, in_this_process
from tests.tiny import WORDS

HEAVY = ("torch", "transformers", "peft", "optuna", "datasets", "lightning", "sklearn", "pandas")
LOADED = f"""
import sys
from autopeft.cli import main
sys.argv = ["autopeft", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
TRIALS = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished search: where it began, its folder, and what it said."""

    start: Path
    folder: Path
    said: Done


@pytest.fixture(scope="session")
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


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_this_process(monkeypatch, capsys)


def rows_of(done: Done, form: str) -> list[dict[str, Any]]:
    """Return the rows of what was printed as json or csv."""
    assert done.code == 0, done.err
    if form == "json":
        rows: list[dict[str, Any]] = json.loads(done.out)
        return rows
    return list(csv.DictReader(io.StringIO(done.out)))


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "search --help", "methods", "tasks", "spaces", "schema"],
)
def test_looking_things_up_loads_nothing_heavy(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_setting_is_an_option_with_its_help() -> None:
    search: Any = typer.main.get_command(cli.app)
    options = {parameter.name: parameter for parameter in search.commands["search"].params}
    for field in dataclasses.fields(SearchConfig):
        option = options.pop(field.name)
        assert option.help == field.metadata["help"]
        names = [f"--{field.name.replace('_', '-')}"]
        assert option.opts == names + [s for s in [field.metadata["short"]] if s]
        assert option.secondary_opts == []
    assert set(options) == {"data", "form"}


def test_help_names_every_option(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = command("search", "--help").out
    for field in dataclasses.fields(SearchConfig):
        assert f"--{field.name.replace('_', '-')} " in said


def test_the_version_is_the_packages(command: Command) -> None:
    assert command("--version") == Done(0, f"autopeft {autopeft.__version__}\n", "")


def test_the_shim_runs_from_a_checkout(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", SHIM, str(ROOT / "cli.py"), *sys.path],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"autopeft {autopeft.__version__}\n{ROOT / 'autopeft' / 'cli.py'}\n"


SHIM = """
import runpy, sys
sys.path[1:] = [p for p in sys.argv[2:] if "site-packages" in p or "python3" in p]
shim, sys.argv = sys.argv[1], ["cli.py", "--version"]
sys.path[0] = shim.rpartition("/")[0]
try:
    runpy.run_path(shim, run_name="__main__")
except SystemExit as stop:
    assert not stop.code
print(sys.modules["autopeft.cli"].__file__)
"""


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize(
    ("listing", "names"),
    [
        ("methods", METHODS.names() + METHODS.further()),
        ("tasks", TASKS.names()),
        ("spaces", shipped_spaces()),
    ],
)
def test_listings_for_programs(command: Command, form: str, listing: str, names: Any) -> None:
    rows = rows_of(command(listing, "--format", form), form)
    assert sorted(row["name"] for row in rows) == sorted(names)
    assert all(next(iter(row)) == "name" and row["description"] for row in rows)


def test_listings_for_people(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for listing, names in (("methods", METHODS.names()), ("tasks", TASKS.names())):
        said = command(listing).out
        assert all(name in said for name in names)


def test_the_schema_is_json_with_every_method(command: Command) -> None:
    schema = json.loads(command("schema").out)
    assert set(schema["properties"]["methods"]["properties"]) == set(METHODS.names())


def test_doctor_tells_versions_and_device(command: Command) -> None:
    rows = {row["name"]: row for row in rows_of(command("doctor", "--format", "json"), "json")}
    assert {"python", "torch", "peft", "optuna", "device", "bfloat16", "spaces"} <= set(rows)
    assert rows["autopeft"]["value"] == autopeft.__version__
    assert all(set(row) == {"name", "value", "remark"} for row in rows.values())


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


def test_bench_and_leaderboard_of_a_suite(command: Command, tmp_path: Path) -> None:
    part = ("--tasks", "bbc_news", "--methods", "lora", "--results", tmp_path)
    said = command("bench", "quick", *part, "--dry-run").out.splitlines()
    assert said[0] == (
        "minilm-l6/bbc_news, 200 examples, lora, seed 0: autopeft bench quick --backbones "
        "minilm-l6 --tasks bbc_news --methods lora --seeds 0"
    )
    assert len(said) == 3
    rows = rows_of(command("leaderboard", "quick", *part, "--format", "json"), "json")
    assert [(row["name"], row["state"], row["note"]) for row in rows] == [
        ("lora", "missing", "not trained yet")
    ]
    wrong = command("bench", "quick", "--methods", "lorra")
    assert (wrong.code, "did you mean 'lora'?" in wrong.err) == (2, True)


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
    tiny_folder: Callable[[str], Path],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = sorted(finished.start.rglob("*"))
    done = command("search", finished.start / "reviews.csv", "--model", tiny_folder("bert"),
                   "--dry-run", "--format", "json")  # fmt: skip
    rows = {row["name"]: row for row in rows_of(done, "json")}
    assert rows["head"]["trainable_params"] == 0
    assert rows["default"]["trainable_params"] == 8 * (32 + 32) * 2 * 2
    assert {"ia3 default", "sample 0"} <= set(rows)
    assert all(row["memory_gb"] > 0 and row["train_seconds"] >= 0 for row in rows.values())
    assert list(tmp_path.iterdir()) == []
    assert sorted(finished.start.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_nothing_feasible_is_a_failure_that_names_the_limit(
    finished: Run, command: Command, tiny_folder: Callable[[str], Path]
) -> None:
    done = command("search", finished.start / "reviews.csv", "--model", tiny_folder("bert"),
                   "--methods", "lora", "--max-params", "100", "--dry-run")  # fmt: skip
    assert done.code == 1
    assert "no candidate trains at most 100 parameters; the nearest is lora" in done.err
    assert "allow --max-params 256" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["metods"], "Did you mean 'methods'"),
        (["search"], "Missing argument 'DATA'"),
        (["search", "a.csv", "--trails", "3"], "--trials"),
        (["search", "a.csv"], "no model is given; name one with --model"),
        (["methods", "--format", "jsn"], "--format 'jsn'; did you mean 'json'?"),
        (["leaderboard", "/nowhere"], "/nowhere holds no run"),
        (["predict", "/nowhere", "a.csv"], "/nowhere holds no tuned model"),
    ],
)
def test_usage_errors_are_exit_code_2(command: Command, arguments: list[str], said: str) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_all_faults_of_the_settings_come_at_once(command: Command) -> None:
    done = command("search", "a.csv", "--trials", "0", "--within", "3se", "--time-limit", "soon")
    assert done.code == 2
    for fault in ("--trials: '0' is below 1", "did you mean '2se'", "90s, 3m or 1.5h"):
        assert fault in done.err


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoCandidateError("nothing is left"), "error: nothing is left\n"),
        (ZeroDivisionError("by zero"), "error: unexpected ZeroDivisionError: by zero"),
    ],
)
def test_a_traceback_is_shown_on_request_only(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str, debug: bool
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(searching, "Searching", fail)
    done = command("search", "a.csv", "--model", "m", *(["--debug"] if debug else []))
    assert done.code == 1
    assert said in done.err
    assert ("Traceback" in done.err) == debug
    assert ("--debug shows where" in done.err) == (not debug and isinstance(error, ArithmeticError))


def test_a_reader_that_leaves_is_no_fault() -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "autopeft.cli", "schema"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None and writer.stderr is not None
    writer.stdout.close()
    said = writer.stderr.read()
    writer.stderr.close()
    assert (writer.wait(), said) == (1, "")
