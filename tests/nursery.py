"""Worker processes without the wait: forked from a process that has imported what they need.

A fresh process spends seconds on importing torch, transformers and peft, which most tests of
searches are not about. Such tests use the fixture `forked_workers`; the others start workers as
the program does.

The process that is forked has a single thread of Python and has done nothing but imports. Each
worker has a parent of its own there, which tells over a socket the worker's number and how it
ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from autopeft import supervisor
from tests.command import ROOT

SOCKET = "AUTOPEFT_TEST_NURSERY"
"""Variable that tells launched searches where to have their workers forked."""

_ROOMS = ("backbone", "deltas", "methods", "tasks", "train", "tuner")
_LAZY = (
    "datasets",
    "lightning",
    "peft",
    "sklearn.metrics",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "autopeft.delivery",
    "tests.robustness.worker",
)
_FORKS_WELL = ("jemalloc_bg_thd",)  # Arrow's allocator, which begins it anew in the child
_MOST = 1 << 20  # bytes of an order


class Forked:
    """A worker, as `autopeft.supervisor.Process` wants it."""

    def __init__(
        self, address: str, target: str, output: BinaryIO, environment: Mapping[str, str]
    ) -> None:
        self._exit_code: int | None = None
        self._asking = threading.Lock()
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.connect(address)
        order = {"target": target, "environment": dict(environment), "folder": str(Path.cwd())}
        (its_input, our_input), (our_output, its_output) = os.pipe(), os.pipe()
        socket.send_fds(
            self._line, [json.dumps(order).encode()], [its_input, its_output, output.fileno()]
        )
        os.close(its_input)
        os.close(its_output)
        self.stdin: BinaryIO = os.fdopen(our_input, "wb")
        self.stdout: BinaryIO = os.fdopen(our_output, "rb")
        self.pid = int(self._line.recv(64))

    def poll(self) -> int | None:
        """Return the exit status once ended."""
        with self._asking:
            if self._exit_code is None and not select.select([self._line], [], [], 0)[0]:
                return None
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit status, negative for a signal."""
        with self._asking:
            if self._exit_code is None:
                self._exit_code = int(self._line.recv(64))
                self._line.close()
            return self._exit_code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """Has the process that is forked, from construction to `close`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.mkdtemp(prefix="nursery-")
        self.address = str(Path(self._folder) / "line")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.address)
            listener.listen()
            code = f"from tests.nursery import serve; serve({listener.fileno()})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                cwd=ROOT,
                start_new_session=True,
                env={**os.environ, **environment},
            )

    def spawn(self, target: str, output: BinaryIO, environment: Mapping[str, str]) -> Forked:
        """Do as `autopeft.supervisor.spawn` does, sooner."""
        return Forked(self.address, target, output, environment)

    def fork_workers(self, patch: pytest.MonkeyPatch) -> None:
        """Let searches of this process, and those that it launches, have their workers here."""
        patch.setattr(supervisor, "spawn", self.spawn)
        patch.setenv(SOCKET, self.address)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder)


def serve(listening: int) -> None:
    """Import, then fork at every call until nobody is there to call."""
    for room in _ROOMS:
        package = importlib.import_module(f"autopeft.{room}")
        for found in pkgutil.iter_modules(package.__path__, f"autopeft.{room}."):
            importlib.import_module(found.name)
    for name in _LAZY:
        importlib.import_module(name)
    threads = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    others = [name for name in threads[1:] if name not in _FORKS_WELL]
    assert not others, f"a process with threads {others} cannot be forked safely"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=listening) as listener:
        while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
            assert ready == [listener]
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _raise_one(line)
            line.close()


def _raise_one(line: socket.socket) -> None:
    """Fork the worker that was ordered, and tell how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(line, _MOST, 3)
    pid = os.fork()
    if pid == 0:
        line.close()
        _work(json.loads(message), streams)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(OSError):  # whoever ordered it is gone
        line.send(str(pid).encode())
        status = os.waitpid(pid, 0)[1]
        line.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _work(order: dict[str, Any], streams: list[int]) -> None:
    """Be the worker."""
    os.setsid()
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    code = 1
    try:
        supervisor.serve(order["target"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
