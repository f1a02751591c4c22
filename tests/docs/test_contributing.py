"""The examples of CONTRIBUTING.md are whole methods, tasks and spaces: they keep the contracts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.search.load import load_space
from tests.command import ROOT
from tests.docs.page import blocks

FILES = {
    block.file: block.text
    for block in blocks("python", "yaml", pages=(ROOT / "CONTRIBUTING.md",))
    if block.file
}

METHOD = """
import sys
from pathlib import Path
import autopeft.methods
from autopeft.backbone.load import load_backbone
from autopeft.testing.method_suite import CHECKS, MethodContract

extra, model, place = map(Path, sys.argv[1:])
autopeft.methods.__path__.append(str(extra))
backbone = load_backbone(
    model, auto_class="AutoModelForSequenceClassification", model_options={"num_labels": 2}
)
contract = MethodContract(backbone, "fourier_ft")
for check in CHECKS:
    getattr(contract, check)(place / check)
print(*autopeft.methods.METHODS.names())
"""

TASK = """
import sys
import autopeft.tasks, pytest
autopeft.tasks.__path__.append(sys.argv[1])
raise SystemExit(pytest.main([sys.argv[2], "-q", "-p", "no:cacheprovider", "-c", sys.argv[3],
                              "--rootdir", sys.argv[4], "-p", "tests.conftest"]))
"""


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def written(folder: Path, name: str) -> Path:
    file = folder / Path(name).name
    file.write_text(FILES[name], encoding="utf-8")
    return file


def test_every_kind_of_contribution_has_an_example() -> None:
    assert sorted(str(Path(name).parent) for name in FILES if name) == [
        "autopeft/methods", "autopeft/tasks", "search_spaces", "tests/tasks",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_the_method_keeps_the_contract(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    written(tmp_path, "autopeft/methods/fourier_ft.py")
    assert "fourier_ft" in run(METHOD, tmp_path, tiny_folder(architecture), tmp_path).split()


@pytest.mark.slow
def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    written(tmp_path, "autopeft/tasks/rating.py")
    (tmp_path / "tests").mkdir()
    test = written(tmp_path / "tests", "tests/tasks/test_rating.py")
    said = run(TASK, tmp_path, test, ROOT / "pyproject.toml", tmp_path)
    assert said.count(".") >= 12


def test_the_space_can_be_loaded(tmp_path: Path) -> None:
    space = load_space(written(tmp_path, "search_spaces/small_ranks.yaml"))
    assert list(space.methods) == ["lora", "dora"]


@pytest.mark.parametrize("name", [name for name in FILES if name and name.endswith(".py")])
def test_the_examples_are_in_our_style(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, name)
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("ruff"), *check, "--config", ROOT / "pyproject.toml",
             "--config", "lint.per-file-ignores = {'*' = ['ARG', 'I']}", file],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
