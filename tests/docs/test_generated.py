"""Pages that follow from the registries and from recorded cells follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.methods import METHODS
from autopeft.tasks import TASKS
from docs import generate
from docs.pages.settings import settings
from docs.pages.tasks import tasks
from tests.command import ROOT


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit status of the generator and what it printed."""
    status = generate.main(arguments)
    return status, "".join(capsys.readouterr())


@pytest.mark.slow
def test_committed_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--check") == (0, "")


def test_a_stale_page_is_told_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"tasks.md": tasks, "some/settings.md": settings})
    assert said(capsys, "--check") == (
        1,
        "stale: tasks.md, some/settings.md; run: python docs/generate.py\n",
    )
    assert said(capsys) == (0, "wrote docs/tasks.md\nwrote docs/some/settings.md\n")
    assert said(capsys, "--check") == said(capsys) == (0, "")
    for page in (tmp_path / "tasks.md", tmp_path / "some" / "settings.md"):
        committed = ROOT / "docs" / page.name
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
