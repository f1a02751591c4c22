"""A command watched from outside: how long it takes, how much memory all its processes take."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_SAMPLE_SECONDS = 0.2
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a command.

    Args:
        exit_code: its exit status.
        wall_seconds: from its start to its end.
        peak_pss_bytes: highest sum over all processes at a time, shared pages counted once (where
            the system does not tell, as `peak_rss_bytes`).
        peak_rss_bytes: the same with shared pages counted in every process.
        samples: how often memory was looked at.
        last_lines: the end of its output.
    """

    exit_code: int
    wall_seconds: float
    peak_pss_bytes: int
    peak_rss_bytes: int
    samples: int
    last_lines: str


def watch(command: Sequence[str]) -> Watched:
    """Run a command to its end; its output is kept, not shown."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},  # or errors come before what was said first
    )
    memory = _Memory(process.pid)
    memory.start()
    try:
        output, _ = process.communicate()
        wall = time.monotonic() - started
    finally:
        if process.poll() is None:
            process.terminate()  # its workers end when their input closes
            process.wait()
        memory.stop()
    lines = output.decode(errors="replace").splitlines()
    return Watched(
        exit_code=process.returncode,
        wall_seconds=wall,
        peak_pss_bytes=memory.peak_pss,
        peak_rss_bytes=memory.peak_rss,
        samples=memory.samples,
        last_lines="\n".join(lines[-_SHOWN_LINES:]),
    )


class _Memory(threading.Thread):
    """Samples the memory of a process and all its descendants until stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._end = threading.Event()
        self.peak_pss = self.peak_rss = self.samples = 0

    def run(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            each = [memory_of(process) for process in family]
            self.peak_pss = max(self.peak_pss, sum(pss for pss, _ in each))
            self.peak_rss = max(self.peak_rss, sum(rss for _, rss in each))
            self.samples += 1

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()


def memory_of(process: psutil.Process) -> tuple[int, int]:
    """Return proportional and resident bytes of a process; zeros once it is gone."""
    try:
        found = process.memory_full_info()
    except psutil.Error:
        return 0, 0
    return int(getattr(found, "pss", found.rss)), int(found.rss)
