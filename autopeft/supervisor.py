"""Worker processes: start them, talk to them, notice when they die.

A worker is a fresh Python process that runs a function named by its dotted path, so this module
knows nothing of training. Both sides speak JSON, one message per line, over the worker's standard
input and output; whatever the function prints goes to its log file. A worker whose supervisor is
gone sees its input close and exits, so none is ever orphaned.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from autopeft.temporary import TemporaryFolder

Message = dict[str, Any]

_START = "from autopeft.supervisor import serve; serve({target!r})"


class Channel(Protocol):
    """The worker's end of the conversation."""

    def send(self, message: Mapping[str, Any]) -> None: ...

    def receive(self) -> Message: ...


class Process(Protocol):
    """What is needed of a child process: its streams, its end, and a way to bring that about."""

    pid: int
    stdin: BinaryIO
    stdout: BinaryIO

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...


def spawn(target: str, output: BinaryIO, environment: Mapping[str, str]) -> Process:
    """Start a fresh Python process that serves a function, in a session of its own.

    Args:
        target: dotted path of the function.
        output: gets whatever the process prints.
        environment: all its variables.
    """
    process: Any = subprocess.Popen(
        [sys.executable, "-c", _START.format(target=target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        env=dict(environment),
        start_new_session=True,
    )
    started: Process = process
    return started


@dataclass(frozen=True, slots=True)
class Event:
    """A message from a worker, or its death (then `message` is None)."""

    worker: Worker
    message: Message | None


class Worker:
    """One child process and the supervisor's end of the conversation.

    Args:
        target: dotted path of the function to run, as ``"package.module:function"``; it gets a
            `Channel`.
        index: counted from 0; on a machine with several GPUs the worker sees only that one.
        log: file that receives whatever the process prints.
        events: queue that receives its messages and its death.
        environment: variables to set besides the inherited ones.
    """

    def __init__(
        self,
        target: str,
        index: int,
        log: Path,
        events: queue.Queue[Event],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.index = index
        self.log = log
        with log.open("ab") as output:
            self._process = spawn(target, output, {**os.environ, **(environment or {})})
        self._events = events
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit status once ended; negative for a signal."""
        return self._process.poll()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; a worker that is gone is noticed by its death event, not here."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End the process at once and reap it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._reader.join()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def last_words(self, lines: int = 20) -> str:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def _read(self) -> None:
        with self._process.stdout as output, contextlib.suppress(ValueError):
            for line in output:  # the last one is cut short where the process was killed
                self._events.put(Event(self, json.loads(line)))
        self._process.wait()
        self._events.put(Event(self, None))


class Supervisor:
    """Starts workers of one kind and gathers their events.

    Example:
        with Supervisor("autopeft.train.worker:work") as supervisor:
            supervisor.start(0)
            event = supervisor.next_event(timeout_seconds=1.0)

    Attributes:
        logs: folder of what the workers print; removed at the end.
        workers: the current ones.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._temporary = TemporaryFolder("logs")
        self.logs = self._temporary.path
        self._events: queue.Queue[Event] = queue.Queue()
        self.workers: list[Worker] = []

    def start(self, index: int, environment: Mapping[str, str] | None = None) -> Worker:
        """Start worker `index`; it replaces one of the same index, which is ended."""
        for worker in [worker for worker in self.workers if worker.index == index]:
            worker.kill()
            self.workers.remove(worker)
        log = self.logs / f"worker-{index}.log"
        worker = Worker(self._target, index, log, self._events, environment)
        self.workers.append(worker)
        return worker

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Wait for the next event of a current worker; None when the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if event.worker in self.workers:
                return event

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once."""
        for worker in self.workers:
            worker.kill()
        self.workers = []
        self._temporary.remove()


def serve(target: str) -> None:
    """Run `target` in this process, the worker's side of `Worker`."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    module, _, name = target.partition(":")
    channel = _StandardStreams(source, sink)
    function: Callable[[Channel], None] = getattr(importlib.import_module(module), name)
    function(channel)


class _StandardStreams:
    """A `Channel` over this process's streams; exits with the process that started it."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._sink = sink
        self._inbox: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        self._sink.write(json.dumps(message).encode() + b"\n")
        self._sink.flush()

    def receive(self) -> Message:
        return self._inbox.get()

    def _listen(self, source: BinaryIO) -> None:
        try:
            for line in source:  # the last one is cut short where the supervisor was killed
                self._inbox.put(json.loads(line))
        finally:
            os._exit(0)
