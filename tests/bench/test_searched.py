"""A search as a cell: what it costs, and that it knows nothing of its task beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from autopeft.bench import searched
from autopeft.bench.cells import Searched
from autopeft.bench.rows import Rows
from autopeft.bench.searched import core_seconds, run_search
from autopeft.errors import NoCandidateError
from autopeft.search.other_tasks import tasks_of
from tests.api.test_finals import PROBLEM

# Somewhat more than what is asserted: the clock of ended children counts in hundredths.
BUSY = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"


def test_processor_time_of_ended_children_counts() -> None:
    before = core_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert core_seconds() - before >= 0.5


@pytest.mark.parametrize("task", [*tasks_of(), "something new"])
def test_what_was_recorded_of_its_own_task_is_left_out(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def search(data: object, **settings: Any) -> None:
        given.update(settings)
        raise NoCandidateError("made up")

    monkeypatch.setattr(searched, "search", search)
    splits = {
        name: Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
        for name in ("train", "selection", "test")
    }
    rows = Rows(task=task, problem=PROBLEM, digest="0", splits=splits)
    cell = Searched(policy="search", space="default", seed=0)
    line = run_search(cell, rows, "model", tmp_path / "run", limit_seconds=60.0, max_length=16)
    assert (line["state"], line["cause"]) == ("failed", "no-candidate")
    assert given["leave_out"] == ([task] if task in tasks_of() else None)
