"""Temporary folders go with their process, killed or not, and never while it lives."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autopeft.temporary import MARK, NEW_SECONDS, TemporaryFolder

WAITS = """
import sys, time
from autopeft.temporary import TemporaryFolder
folder = TemporaryFolder("test")
(folder.path / "rows").write_text("many")
print(folder.path, flush=True)
{end}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@contextmanager
def begun(end: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that makes a folder and ends like this; give it and the folder."""
    code = WAITS.format(end=end)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        yield one, Path(one.stdout.readline().strip())
        one.kill()


def grow_old(path: Path) -> None:
    """Make a folder, and what it lies in, look older than what counts as new."""
    for one in (path, path.parent):
        then = one.stat().st_mtime - 2 * NEW_SECONDS
        os.utime(one, (then, then))


def test_a_folder_goes_when_it_is_removed_and_with_its_process(place: Path) -> None:
    with TemporaryFolder("test") as folder:
        assert folder.path.parent.parent == place
        assert list(folder.path.iterdir()) == []
        (folder.path / "rows").write_text("many")
    folder.remove()
    assert list(place.iterdir()) == []
    for end, code in (("", 0), ("sys.exit(3)", 3)):
        with begun(end) as (process, path):
            assert process.wait() == code
            assert not path.exists()


def test_what_a_killed_process_left_goes_with_the_next_and_what_lives_stays() -> None:
    with begun("time.sleep(60)") as (dead, left), begun("time.sleep(60)") as (_, used):
        dead.kill()
        dead.wait()
        assert (left / "rows").exists()
        for path in (left, used):
            grow_old(path)
        with TemporaryFolder("other"):
            assert not left.exists()
            assert (used / "rows").exists()


def test_a_folder_whose_maker_is_about_to_lock_it_stays(place: Path) -> None:
    new = place / "autopeft-data-x"
    (new / "files").mkdir(parents=True)
    (new / MARK).touch()
    with TemporaryFolder("test"):
        assert new.exists()
    grow_old(new / "files")
    with TemporaryFolder("test"):
        assert not new.exists()


def test_what_users_have_there_stays_whatever_its_name(place: Path) -> None:
    """As a run that was put there by hand."""
    run, link, file = (place / name for name in ("autopeft-my-run", "autopeft-a-b", "autopeft-c-d"))
    (run / "files").mkdir(parents=True)
    link.symlink_to(run)
    file.write_text("no folder")
    for path in (run / "files", file):
        grow_old(path)
    with TemporaryFolder("test"):
        pass
    assert (run / "files").exists()
    assert link.exists()
    assert file.exists()


def test_what_is_kept_stays_for_good() -> None:
    with begun("print(folder.keep(), folder.keep(), flush=True)") as (process, path):
        assert process.stdout is not None
        assert process.stdout.readline() == "True False\n"
        assert process.wait() == 0
        grow_old(path)
        with TemporaryFolder("other"):
            assert (path / "rows").exists()


def test_a_forked_child_removes_nothing() -> None:
    folder = TemporaryFolder("test")
    child = os.fork()
    if child == 0:
        folder.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.path.exists()
    grow_old(folder.path)
    with TemporaryFolder("test"):
        assert folder.path.exists()
    folder.remove()
    assert not folder.path.exists()
