"""The run folder: resumed, refused, locked, moved."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autopeft.errors import RunFolderError
from autopeft.store import RunFolder
from autopeft.store import folder as folder_module
from autopeft.store import write as write_module

IDENTITY = {"data": {"digest": "abc", "rows": 10}, "seed": 0, "metric": "accuracy"}

HOLD = """
import sys, time
from autopeft.store import RunFolder
run = RunFolder.open(sys.argv[1], identity={"seed": 0})
print("held", flush=True)
time.sleep(60)
"""


def open_run(path: Path, identity: dict[str, Any] = IDENTITY, **options: Any) -> RunFolder:
    return RunFolder.open(path, identity=identity, **options)


def test_the_same_run_is_resumed_and_details_may_change(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", details={"torch": "1"}) as first:
        first.write_json("choice.json", {"number": 3})
    with open_run(tmp_path / "run", details={"torch": "2"}) as again:
        assert again.read_json("choice.json") == {"number": 3}
        assert again.read_json("nothing.json") is None
        assert again.manifest["details"] == {"torch": "1"}


def test_another_run_is_refused_with_every_difference(tmp_path: Path) -> None:
    open_run(tmp_path / "run").close()
    other = {"data": {"digest": "xyz", "rows": 10}, "seed": 0, "space": "quick"}
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path / "run", other)
    text = str(caught.value)
    assert "data.digest: 'abc' there, 'xyz' now" in text
    assert "metric: 'accuracy' there, not set now" in text
    assert "space: not set there, 'quick' now" in text
    assert "data.rows" not in text
    assert "--fork" in text


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    open_run(tmp_path / "run").close()
    file = tmp_path / "run" / "manifest.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(RunFolderError, match="schema: 0 there, 1 now"):
        open_run(tmp_path / "run")


def test_fork_begins_a_sibling_and_finds_it_again(tmp_path: Path) -> None:
    open_run(tmp_path / "run").close()
    for _ in range(2):
        with open_run(tmp_path / "run", {"seed": 1}, fork=True) as forked:
            assert forked.path == tmp_path / "run-2"
    with open_run(tmp_path / "run", {"seed": 2}, fork=True) as third:
        assert third.path == tmp_path / "run-3"
    with open_run(tmp_path / "run", fork=True) as same:
        assert same.path == tmp_path / "run"


def test_two_that_begin_at_once_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has the lock and writes its manifest later, or has even ended."""
    other = open_run(tmp_path / "other", {"seed": 1})
    manifest = (tmp_path / "other" / "manifest.json").read_text()
    (tmp_path / "other" / "manifest.json").unlink()
    write = partial(write_module.write_text, tmp_path / "other" / "manifest.json", manifest)
    later = threading.Timer(0.2, write)
    later.start()
    with open_run(tmp_path / "other", {"seed": 2}, fork=True) as forked:
        assert forked.path == tmp_path / "other-2"
    with pytest.raises(RunFolderError, match="is in use"):
        open_run(tmp_path / "other", {"seed": 1}, fork=True)
    other.close()
    (tmp_path / "other" / "manifest.json").unlink()
    real = folder_module.FolderLock

    def late(folder: Path) -> Any:
        (folder / "manifest.json").write_text(manifest)
        return real(folder)

    monkeypatch.setattr(folder_module, "FolderLock", late)
    with pytest.raises(RunFolderError, match="seed: 1 there, 2 now"):
        open_run(tmp_path / "other", {"seed": 2})


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        open_run(tmp_path)


def test_what_a_kill_left_before_the_manifest_was_whole_is_no_other_file(tmp_path: Path) -> None:
    for name in (".probe.77", ".manifest.json.77.part", ".study.db.part"):
        (tmp_path / name).write_bytes(b"half")
    open_run(tmp_path).close()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    open_run(tmp_path / "run").close()
    (tmp_path / "run" / "manifest.json").write_text('{"schema": 1, "ide')
    with pytest.raises(RunFolderError, match=r"manifest\.json is damaged"):
        open_run(tmp_path / "run")


@pytest.mark.parametrize("place", ["file/run", "/proc/none/run"])
def test_a_folder_that_cannot_be_written_is_said_first(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        open_run(tmp_path / place)


def test_a_full_disk_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(100, 99, 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(write_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RunFolderError, match="0 MB left"):
        open_run(tmp_path / "run")
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_disk_that_fills_up_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path / "run") as run:
        run.write_json("choice.json", {"number": 1})

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(write_module.os, "fsync", full)
        with pytest.raises(RunFolderError, match=r"No space left.*Earlier results are intact"):
            run.write_json("choice.json", {"number": 2})
        assert run.read_json("choice.json") == {"number": 1}
        assert not list(run.path.glob(".*part"))


def test_a_second_supervisor_is_refused_naming_the_first(tmp_path: Path) -> None:
    with open_run(tmp_path / "run"), pytest.raises(RunFolderError, match=f"process {os.getpid()}"):
        open_run(tmp_path / "run")
    open_run(tmp_path / "run").close()


def test_a_disk_that_knows_no_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunFolderError, match=r"cannot lock .*: No locks available; .*--output"):
        open_run(tmp_path / "run")


def test_a_killed_supervisor_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"process {holder.pid} on"):
            open_run(tmp_path / "run", {"seed": 0})
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    deadline = time.monotonic() + 5
    assert json.loads((tmp_path / "run" / "lock").read_text())["pid"] == holder.pid
    while True:
        try:
            open_run(tmp_path / "run", {"seed": 0}).close()
            break
        except RunFolderError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_reading_needs_no_lock_and_a_run(tmp_path: Path) -> None:
    with open_run(tmp_path / "run") as run:
        run.trials(higher_is_better=True)
        assert RunFolder.read(tmp_path / "run").trials(higher_is_better=True).records() == []
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder.read(tmp_path)


def test_half_a_study_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that finds the tables half made would finish them itself, and stop the writer."""
    import optuna

    create, seen = optuna.create_study, []

    def look_first(**options: Any) -> optuna.Study:
        with pytest.raises(RunFolderError, match="holds no trials yet"):
            RunFolder.read(tmp_path / "run").trials(higher_is_better=True)
        seen.append(True)
        return create(**options)

    monkeypatch.setattr(optuna, "create_study", look_first)
    with open_run(tmp_path / "run") as run:
        run.trials(higher_is_better=True)
        run.trials(higher_is_better=True)
        assert seen == [True]
        assert not list(run.path.glob(".*part*"))


def test_reading_waits_for_no_writer(tmp_path: Path) -> None:
    with open_run(tmp_path / "run") as run:
        run.trials(higher_is_better=True)
        writer = sqlite3.connect(run.path / "study.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        try:
            assert RunFolder.read(run.path).trials(higher_is_better=True).records() == []
        finally:
            writer.close()


def test_a_damaged_study_is_named(tmp_path: Path) -> None:
    with open_run(tmp_path / "run") as run:
        (run.path / "study.db").write_bytes(b"garbage" * 500)
        with pytest.raises(RunFolderError, match=r"cannot open .*study\.db"):
            run.trials(higher_is_better=True)


def connect_and_fail_to_close(error: BaseException) -> Callable[..., sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            raise error

    return partial(sqlite3.connect, factory=Connection)


def test_an_interrupt_while_a_connection_closes_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = connect_and_fail_to_close(KeyboardInterrupt())
    monkeypatch.setattr(folder_module.sqlite3, "connect", connect)
    with open_run(tmp_path / "run") as run, pytest.raises(KeyboardInterrupt):
        run.trials(higher_is_better=True)
    assert not caplog.records


def test_a_fault_while_a_connection_closes_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = connect_and_fail_to_close(OSError("disk gone"))
    monkeypatch.setattr(folder_module.sqlite3, "connect", connect)
    with open_run(tmp_path / "run") as run:
        run.trials(higher_is_better=True)
    assert "disk gone" in caplog.text
