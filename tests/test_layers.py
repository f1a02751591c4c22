"""Who may import whom, and what stays light; the table is in pyproject.toml."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.command import ROOT

HEAVY = (
    "torch", "transformers", "peft", "lightning", "datasets", "optuna", "sklearn", "pandas",
    "numpy", "yaml", "rich", "typer",
)  # fmt: skip

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import autopeft
for room in sys.argv[1:]:
    module = importlib.import_module(f"autopeft.{room}")
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        importlib.import_module(f"autopeft.{room}.{found.name}")
print(json.dumps(sorted(sys.modules)))
"""


def loaded(*rooms: str) -> set[str]:
    """Return what is imported once every module of these rooms is, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *rooms], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_no_room_imports_one_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    status = lint_imports(config_filename="pyproject.toml", cache_dir=str(tmp_path))
    said = capsys.readouterr().out
    assert status == EXIT_STATUS_SUCCESS, said
    assert "1 kept, 0 broken" in said


def test_the_package_itself_loads_nothing() -> None:
    found = loaded()
    assert not found & set(HEAVY)
    ours = {name for name in found if name.startswith("autopeft")}
    assert ours == {"autopeft", "autopeft.tuner", "autopeft.tuner.register"}


@pytest.mark.parametrize(
    ("room", "without"),
    [
        ("search", ("torch", "transformers", "peft", "autopeft.train", "autopeft.backbone")),
        ("report", ("torch", "optuna", "datasets", "numpy", "autopeft.store", "autopeft.search")),
        ("methods", ("optuna", "autopeft.search", "autopeft.train")),
        ("tasks", ("torch", "optuna", "autopeft.methods", "autopeft.train")),
        ("store", ("torch", "autopeft.search", "autopeft.tasks")),
        ("supervisor", ("torch", "optuna", "autopeft.train", "autopeft.api")),
        ("records", HEAVY),
        ("config", ("torch", "numpy", "typer", "autopeft.data")),
        ("cli", ("torch", "transformers", "peft", "optuna", "autopeft.api")),
    ],
)
def test_a_room_is_free_of(room: str, without: tuple[str, ...]) -> None:
    heavy = loaded(room) & set(without)
    assert not heavy, f"importing autopeft.{room} loads {sorted(heavy)}"


def test_records_are_of_the_standard_library_alone() -> None:
    third = {name.partition(".")[0] for name in loaded("records", "registry", "errors")}
    assert third - {"autopeft"} <= loaded_bare()


def loaded_bare() -> set[str]:
    """Return what a bare interpreter may have: the standard library and site hooks."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    bare = {name.partition(".")[0] for name in done.stdout.split()}
    return bare | set(sys.stdlib_module_names)
