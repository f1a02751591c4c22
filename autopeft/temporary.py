"""Temporary folders; those of a process that was killed are removed by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Self

PREFIX = "autopeft-"

MARK = ".autopeft-temporary"
"""A file beside every such folder, locked while it is in use. Nothing without one is removed."""

NEW_SECONDS = 60.0
"""What is not locked counts as new for so long: its maker is about to lock it."""


class TemporaryFolder:
    """A new, empty folder that goes with `remove`, at the end of a ``with``, or of the process.

    A lock that the kernel releases with the process tells folders in use from abandoned ones, which
    are removed whenever another is made. A forked child removes nothing.

    Args:
        kind: what it is for, in its name.

    Attributes:
        path: of the folder.
    """

    def __init__(self, kind: str) -> None:
        _remove_abandoned()
        place = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
        (place / MARK).touch()
        lock = None
        with contextlib.suppress(OSError):  # a file system without locks: nothing is removed there
            lock = _locked(place)
        self.path = place / "files"
        self.path.mkdir()
        self._remove = weakref.finalize(self, _removed, place, lock, os.getpid())

    def remove(self) -> None:
        """Remove it; twice does no harm."""
        self._remove()

    def keep(self) -> bool:
        """Let it stay for good; return whether it would have gone."""
        found = self._remove.detach()
        if found is None:
            return False
        place, lock, _ = found[2]
        (place / MARK).unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _removed(place: Path, lock: int | None, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(place, ignore_errors=True)
    if lock is not None:
        os.close(lock)


def _locked(place: Path) -> int:
    """Return a descriptor of the mark in a place, locked until it is closed.

    Raises:
        OSError: another process has it, or there is no mark.
    """
    descriptor = os.open(place / MARK, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_abandoned() -> None:
    for place in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        with contextlib.suppress(OSError):  # in use, not ours, another user's, or gone already
            if place.is_symlink() or time.time() - place.stat().st_mtime < NEW_SECONDS:
                continue
            lock = _locked(place)
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)
