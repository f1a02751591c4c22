"""One supervisor per run folder: a lock the kernel releases with its holder, even on SIGKILL."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from io import TextIOWrapper
from pathlib import Path

from autopeft.errors import RunFolderError
from autopeft.store.write import disk_errors


class FolderLock:
    """Holds ``lock`` in a run folder until `release` or the end of the process.

    The file says who holds it; what it says counts only while the kernel's lock is held, so a
    process id left over by a dead holder means nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            RunFolderError: another supervisor holds it; names its process and host. Or its disk
                knows no locks.
        """
        path = folder / "lock"
        with disk_errors(path):
            self._file: TextIOWrapper | None = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._file)
            self._file.close()
            raise RunFolderError(
                f"{folder} is in use by {holder}; wait for it, stop it, or choose another folder "
                "with --output"
            ) from None
        except OSError as error:
            self._file.close()
            raise RunFolderError(
                f"cannot lock {path}: {error.strerror or error}; choose a folder on another disk "
                "with --output"
            ) from error
        with disk_errors(path):
            self._file.truncate(0)
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, self._file)
            self._file.flush()

    def release(self) -> None:
        """Give the lock back; twice does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _holder(file: TextIOWrapper) -> str:
    file.seek(0)
    try:
        said = json.loads(file.read())
        return f"process {said['pid']} on {said['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process that is just starting"
