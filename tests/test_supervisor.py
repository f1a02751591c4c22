"""Worker processes: messages both ways, deaths noticed, nobody orphaned."""

from __future__ import annotations

import gc
import os
import queue
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from autopeft.supervisor import Event, Supervisor, Worker


@contextmanager
def started(function: str) -> Iterator[tuple[Supervisor, Worker]]:
    with Supervisor(f"tests.workers:{function}") as supervisor:
        yield supervisor, supervisor.start(0)


def next_event(supervisor: Supervisor) -> Event:
    event = supervisor.next_event(30.0)
    assert event is not None, "nothing came"
    return event


def gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_messages_go_both_ways_whatever_is_in_them() -> None:
    messages = [{"n": 1}, {"text": "line\nbreak \u2028 ü \x00"}, {"long": "x" * 300_000}]
    with started("echo") as (supervisor, worker):
        for message in messages:
            worker.send(message)
        assert [next_event(supervisor).message for _ in messages] == messages
        assert worker.alive
        assert worker.exit_code is None


def test_what_a_worker_prints_goes_to_its_log_and_not_between_the_messages() -> None:
    with started("chatter") as (supervisor, worker):
        worker.send({"a": 1})
        assert next_event(supervisor).message == {"said": {"a": 1}}
        assert next_event(supervisor).message is None
        assert set(worker.last_words().splitlines()) == {
            "on the output",
            "on the error stream",
            "past python",
        }
        assert len(worker.last_words(1).splitlines()) == 1


def test_worker_gets_its_environment_and_a_session_of_its_own() -> None:
    """Ctrl-C on the terminal reaches the supervisor alone."""
    with Supervisor("tests.workers:about_itself") as supervisor:
        worker = supervisor.start(0, {"COLOUR": "red"})
        found = next_event(supervisor).message
        assert found == {"pid": worker.pid, "colour": "red", "group": worker.pid}
        assert worker.pid != os.getpid()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_killed_worker_is_noticed(sent: signal.Signals, code: int) -> None:
    with started("echo") as (supervisor, worker):
        worker.send({"up": True})
        next_event(supervisor)
        os.kill(worker.pid, sent)
        assert next_event(supervisor) == Event(worker, None)
        assert worker.exit_code == code
        assert not worker.alive
        worker.send({"to": "nobody"})  # harmless
        worker.send({"to": "nobody"})


def test_worker_that_fails_is_noticed_with_its_traceback() -> None:
    with started("crash") as (supervisor, worker):
        worker.send({})
        assert next_event(supervisor).message is None
        assert worker.exit_code == 1
        assert worker.last_words().endswith("RuntimeError: the reason")


def test_worker_killed_in_the_middle_of_a_message_is_noticed() -> None:
    with started("dies_in_a_word") as (supervisor, worker):
        assert next_event(supervisor) == Event(worker, None)
        assert worker.exit_code == -9


def test_target_that_is_not_there_is_noticed() -> None:
    with started("no_such_function") as (supervisor, worker):
        assert next_event(supervisor).message is None
        assert "no_such_function" in worker.last_words()


def test_events_of_a_replaced_worker_are_dropped() -> None:
    with started("echo") as (supervisor, first):
        first.send({"from": "first"})
        next_event(supervisor)
        first.kill()
        second = supervisor.start(0)
        second.send({"from": "second"})
        assert next_event(supervisor) == Event(second, {"from": "second"})
        assert supervisor.workers == [second]


def test_waiting_ends_when_the_time_is_up() -> None:
    with started("echo") as (supervisor, _):
        before = time.monotonic()
        assert supervisor.next_event(0.2) is None
        assert 0.15 < time.monotonic() - before < 5.0


def test_close_ends_every_worker_and_removes_the_logs() -> None:
    supervisor = Supervisor("tests.workers:busy")
    workers = [supervisor.start(index) for index in range(2)]
    for _ in workers:
        next_event(supervisor)
    supervisor.close()
    assert all(gone(worker.pid) for worker in workers)
    assert not supervisor.logs.exists()


SUPERVISOR = """
import time
from autopeft.supervisor import Supervisor
with Supervisor("tests.workers:busy") as supervisor:
    supervisor.start(0)
    print(supervisor.next_event(30.0).message["pid"], flush=True)
    time.sleep(60)
"""


def test_worker_does_not_outlive_a_supervisor_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        assert psutil.pid_exists(worker)
        process.kill()
    assert gone(worker)


def test_worker_does_not_outlive_a_supervisor_that_is_killed_in_the_middle_of_a_message() -> None:
    serve = "from autopeft.supervisor import serve; serve('tests.workers:echo')"
    with subprocess.Popen(
        [sys.executable, "-c", serve], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.communicate(b'{"half": ', timeout=20)
        finally:
            process.kill()


def test_nothing_is_left_open() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            with started("echo") as (supervisor, worker):
                worker.send({"n": 1})
                next_event(supervisor)
            del supervisor, worker
        gc.collect()
    assert [str(warning.message) for warning in said] == []


def test_worker_can_be_killed_twice() -> None:
    events: queue.Queue[Event] = queue.Queue()
    with started("echo") as (supervisor, _):
        worker = Worker("tests.workers:echo", 1, supervisor.logs / "x.log", events)
        worker.kill()
        worker.kill()
        assert events.get(timeout=10.0).message is None
