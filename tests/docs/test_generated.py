"""Pages that follow from the registries and from recorded cells follow them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autopeft.methods import METHODS
from autopeft.tasks import TASKS
from tests.command import ROOT

GENERATE = ROOT / "docs" / "generate.py"


def generate(*arguments: str, script: Path = GENERATE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_committed_pages_are_up_to_date() -> None:
    done = generate("--check")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_stale_page_is_told_and_renewed(tmp_path: Path) -> None:
    for name in ("autopeft", "benchmarks", "tests", "search_spaces"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pages").symlink_to(ROOT / "docs" / "pages")
    script = tmp_path / "docs" / "generate.py"
    script.write_text(GENERATE.read_text(encoding="utf-8"), encoding="utf-8")
    stale = generate("--check", script=script)
    assert stale.returncode == 1
    assert stale.stderr == (
        "stale: methods/README.md, methods/exclusions.md, methods/comparison.md, tasks.md, "
        "settings.md; run: python docs/generate.py\n"
    )
    assert generate(script=script).returncode == 0
    assert generate("--check", script=script).returncode == 0
    for page in (tmp_path / "docs").rglob("*.md"):
        committed = ROOT / page.relative_to(tmp_path)
        assert page.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")


def test_every_method_has_its_section_and_every_task_its_row() -> None:
    methods = (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
    tasks = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    for info in METHODS:
        assert f"\n## {info.name}\n" in methods
        assert info.paper in methods
        assert info.learning_rate.source and info.learning_rate.source in methods
    for task in TASKS:
        assert f"| `{task.name}` | {task.description} |" in tasks
