"""What a container gives is what counts, not what the machine around it has."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from autopeft import machine

GB = 10**9


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for that of the control groups."""
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    return tmp_path


def belongs(groups: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Let this process be in control groups."""
    file = groups / "membership"
    file.write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(machine, "MEMBERSHIP", file)


def unified(folder: Path, limit: str, used: int, inactive: int = 0) -> None:
    """Write the memory files of version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")


def legacy(folder: Path, limit: int, used: int, inactive: int = 0) -> None:
    """Write the memory files of version 1."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"inactive_file 7\ntotal_inactive_file {inactive}\n")


def test_limit_of_a_container_is_all_the_memory_there_is(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(groups, monkeypatch, "0::/")
    unified(groups, str(GB), GB // 4)
    assert machine.memory_bytes() == GB
    assert machine.free_memory_bytes() == GB - GB // 4


def test_copies_of_files_give_way(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    belongs(groups, monkeypatch, "0::/")
    unified(groups, str(GB), GB // 2, inactive=GB // 4)
    assert machine.free_memory_bytes() == GB - GB // 4


def test_tightest_of_the_groups_around_counts(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(groups, monkeypatch, "0::/user.slice/job")
    unified(groups / "user.slice" / "job", "max", GB // 8)
    unified(groups / "user.slice", str(GB), GB // 2)
    assert machine.memory_bytes() == GB
    assert machine.free_memory_bytes() == GB // 2


def test_version_1_and_a_path_that_is_only_known_outside(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(groups, monkeypatch, "9:cpu,cpuacct:/docker/1", "4:memory:/docker/1", "0::/")
    legacy(groups / "memory", GB, GB // 2, inactive=GB // 8)
    assert machine.memory_bytes() == GB
    assert machine.free_memory_bytes() == GB // 2 + GB // 8


def test_more_used_than_allowed_leaves_nothing(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(groups, monkeypatch, "0::/")
    unified(groups, str(GB), 2 * GB)
    assert machine.free_memory_bytes() == 0


@pytest.mark.parametrize("lines", [(), ("0::/",), ("4:memory:/",), ("2:cpu:/",)])
def test_without_a_limit_it_is_the_machine(
    lines: tuple[str, ...], groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(groups, monkeypatch, *lines)
    legacy(groups / "memory", 2**63 - 4096, GB)  # version 1 has no word for none
    unified(groups, "max", GB)
    assert machine.memory_bytes() == psutil.virtual_memory().total
    assert machine.free_memory_bytes() > 0


def test_other_systems_have_no_control_groups(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "MEMBERSHIP", groups / "nowhere")
    assert machine.memory_bytes() == psutil.virtual_memory().total


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is not to be set here")
def test_cores_are_those_that_the_process_may_run_on() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
