"""The command line: light, complete, the same in three formats, and clear where it fails."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import autopeft
from autopeft import cli
from autopeft.api import opened
from autopeft.config import SearchConfig
from autopeft.errors import NoCandidateError
from autopeft.methods import METHODS
from autopeft.search.spaces import shipped_spaces
from autopeft.tasks import TASKS
from tests.command import ROOT, Command, Done, rows_of

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


def test_bench_and_leaderboard_of_a_suite(command: Command, tmp_path: Path) -> None:
    part = ("--tasks", "bbc_news", "--methods", "lora", "--results", tmp_path)
    said = command("bench", "quick", *part, "--dry-run").out.splitlines()
    assert said[0] == (
        f"minilm-l6/bbc_news, 200 examples, lora, seed 0: autopeft bench quick --results {tmp_path}"
        " --backbones minilm-l6 --tasks bbc_news --methods lora --seeds 0"
    )
    assert len(said) == 3
    rows = rows_of(command("leaderboard", "quick", *part, "--format", "json"), "json")
    assert [(row["name"], row["state"], row["note"]) for row in rows] == [
        ("lora", "missing", "not trained yet")
    ]
    wrong = command("bench", "quick", "--methods", "lorra")
    assert (wrong.code, "did you mean 'lora'?" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["metods"], "Did you mean 'methods'"),
        (["search"], "Missing argument 'DATA'"),
        (["search", "a.csv", "--trails", "3"], "--trials"),
        (["search", "a.csv"], "no model is given; name one with --model"),
        (["methods", "--format", "jsn"], "--format 'jsn'; did you mean 'json'?"),
        (["leaderboard", "/nowhere"], "/nowhere holds no run"),
        (["leaderboard", "/nowhere", "--methods", "lora"], "--methods: of suites alone"),
        (["leaderboard", "/nowhere", "--results", "x"], "--results: of suites alone"),
        (["bench", "quick", "--tasks", ","], "--tasks ',' needs at least one name"),
        (["leaderboard", "quick", "--methods", ""], "--methods '' needs at least one name"),
        (["gates", "a.csv", "--model", "m", "--parts", ""], "--parts '' needs at least one name"),
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

    monkeypatch.setattr(opened, "Opened", fail)
    done = command("search", "a.csv", "--model", "m", *(["--debug"] if debug else []))
    assert done.code == 1
    assert said in done.err
    assert ("Traceback" in done.err) == debug
    assert ("autopeft --debug … shows where" in done.err) == (
        not debug and isinstance(error, ArithmeticError)
    )


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
