"""A dry run tells what the run would do, and what it would leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.bench import unfit as unfit_module
from autopeft.bench.preview import preview
from tests.bench.conftest import Ran

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("suite")]
FINE = "tiny/fine, 40 examples"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return a folder in which nothing was trained."""
    (tmp_path / "cells").mkdir()
    return tmp_path


def test_what_cannot_be_had_is_told_with_its_reason(ran: Ran, empty: Path) -> None:
    lines = list(preview(ran.running(empty, [], tasks=["gone"])))
    assert lines == [
        "tiny/gone, 40 examples: left out: the data root has no gone.csv",
        "huge/gone, 40 examples: left out: the data root has no gone.csv",
    ]
    lines = list(preview(ran.running(empty, [], tasks=["fine"], backbones=["huge"])))
    assert lines == ["huge/fine, 40 examples: left out: the model root has no huge"]
    assert not list((empty / "cells").iterdir()), "nothing is written"


def test_a_method_that_cannot_run_is_told_once_and_no_cell_of_it(
    ran: Ran, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infeasible(_: object, longest: int) -> tuple[tuple[str, ...], dict[str, str]]:
        return (), {"lora": f"made up of {longest} tokens"}

    monkeypatch.setattr(unfit_module, "feasible_methods", infeasible)
    lines = list(preview(ran.running(empty, [], tasks=["fine"], backbones=["tiny"])))
    assert lines[0].startswith(f"{FINE}, lora: left out: made up of ")
    assert [line.partition(":")[0] for line in lines[1:]] == [
        f"{FINE}, {row}, seed {seed}"
        for row in ("head_only", "p_tuning_v2", "search")
        for seed in (0, 1)
    ]


def test_a_search_alone_waits_for_the_methods(ran: Ran, empty: Path) -> None:
    running = ran.running(empty, [], tasks=["fine"], backbones=["tiny"], rows=["search", "lora"])
    (line,) = {line for line in preview(running) if "search" in line and "left out" in line}
    assert line == (
        f"{FINE}, search: left out: its time is that of all methods: head_only, p_tuning_v2 missing"
    )


def test_what_would_be_trained_again_is_told(ran: Ran, tmp_path: Path) -> None:
    options = {"rows": ["lora"], "tasks": ["fine"], "backbones": ["tiny"]}
    lines = list(preview(ran.running(tmp_path, [], again=True, **options)))
    assert [line.partition(":")[0] for line in lines] == [f"{FINE}, lora, seed {n}" for n in (0, 1)]
    assert all(line.endswith(" --again") for line in lines)
