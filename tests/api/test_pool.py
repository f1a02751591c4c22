"""The pool: hands out jobs, answers rungs, replaces workers that die, ends those that hang."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from autopeft.api import pool as pool_module
from autopeft.api.pool import Job, Pool
from autopeft.errors import AutoPeftError, ModelError
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.supervisor import Supervisor

Opened = Callable[..., Pool]


class Notes:
    """A watcher that writes everything down."""

    def __init__(self, *, go: bool = True) -> None:
        self.go = go
        self.events: list[tuple[Any, ...]] = []
        self.pids: list[int] = []

    def started(self, job: Job) -> None:
        self.events.append(("started", job.number))

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        self.events.append(("progress", job.number, share, examples_per_second))

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        self.events.append(("rung", {number: point.score for number, point in points.items()}))
        return points if self.go else ()

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        self.pids.append(outcome["pid"])
        self.events.append(("finished", job.number, outcome["stopped"]))

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        self.events.append(("failed", job.number, cause, message))

    def ends(self) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[0] in ("finished", "failed")]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Return a function that makes a pool of workers of `tests.workers:trainer`."""
    with Supervisor("tests.workers:trainer") as supervisor:

        def make(workers: int = 1, check: Callable[[], None] = lambda: None, **order: Any) -> Pool:
            setting = {"op": "open", **order}
            made = Pool(supervisor, lambda: setting, [{"N": str(n)} for n in range(workers)], check)
            made.launch()
            return made

        yield make


def job(number: int, method: str, limit_seconds: float | None = None, **other: Any) -> Job:
    return Job(
        number=number,
        candidate=Candidate(method=method, learning_rate=1e-3, epochs=1),
        seed=9,
        rungs=(0.5, 1.0),
        artifact=Path("trials") / str(number),
        limit_seconds=limit_seconds,
        **other,
    )


def jobs(*methods: str, limit_seconds: float | None = None) -> Iterator[list[Job]]:
    """Yield packs of one."""
    for number, method in enumerate(methods):
        yield [job(number, method, limit_seconds)]


def test_job_goes_from_its_start_to_its_end(opened: Opened) -> None:
    pool, notes = opened(), Notes()
    assert pool.open()["order"] == {"op": "open"}
    assert pool.run(jobs("trains"), notes) == 1
    assert notes.events == [
        ("started", 0),
        ("progress", 0, 0.5, 5.0),
        ("rung", {0: 0.75}),
        ("finished", 0, False),
    ]


def test_answer_at_a_rung_reaches_the_worker(opened: Opened) -> None:
    pool, notes = opened(), Notes(go=False)
    pool.open()
    pool.run(jobs("trains"), notes)
    assert notes.events[-1] == ("finished", 0, True)


def test_jobs_are_taken_only_when_a_worker_is_free(opened: Opened) -> None:
    pool, notes = opened(), Notes()
    pool.open()

    def lazily() -> Iterator[list[Job]]:
        for pack in jobs("trains", "fails", "trains"):
            assert len(notes.ends()) == pack[0].number
            yield pack

    assert pool.run(lazily(), notes) == 3
    assert len(set(notes.pids)) == 1


def test_no_jobs_is_no_wait(opened: Opened) -> None:
    pool = opened()
    pool.open()
    assert pool.run(iter(()), Notes()) == 0


def test_two_workers_share_the_jobs(opened: Opened) -> None:
    pool, notes = opened(workers=2), Notes()
    pool.open()
    assert pool.size == 2
    assert pool.run(jobs(*["slow"] * 8), notes) == 8
    assert sorted(event[1] for event in notes.ends()) == list(range(8))
    assert len(set(notes.pids)) == 2


def test_further_workers_are_opened_when_the_first_has_told_its_plan() -> None:
    """So that all train under the same one."""
    told: list[Any] = []

    def setting() -> dict[str, Any]:
        told.append(made.about)
        return {"op": "open"}

    with Supervisor("tests.workers:trainer") as supervisor:
        made = Pool(supervisor, setting, [{}, {}, {}], lambda: None)
        made.launch()
        about = made.open()
    assert told == [None, about, about]


def test_dead_worker_costs_its_job_and_is_replaced(opened: Opened) -> None:
    pool, notes = opened(), Notes()
    first = pool.open()["pid"]
    pool.run(jobs("dies", "trains", "exits", "trains"), notes)
    assert [event[:3] for event in notes.ends()] == [
        ("failed", 0, Cause.WORKER_DIED),
        ("finished", 1, False),
        ("failed", 2, Cause.WORKER_DIED),
        ("finished", 3, False),
    ]
    messages = [event[3] for event in notes.ends() if event[0] == "failed"]
    assert messages[0].startswith("the process was killed (signal 9)")
    assert messages[0].endswith("memory runs out. last words")
    assert messages[1].startswith("the process ended with exit status 7.")
    assert len({first, *notes.pids}) == 3


def test_jobs_of_a_pack_go_to_one_worker_and_are_at_the_rung_together(opened: Opened) -> None:
    pool, notes = opened(), Notes()
    pool.open()
    packs = [[job(0, "trains"), job(1, "fails"), job(2, "trains")], [job(3, "trains")]]
    assert pool.run(iter(packs), notes) == 2
    assert [event[1] for event in notes.events if event[0] == "rung"] == [
        {0: 0.75, 2: 0.75},
        {3: 0.75},
    ]
    assert [event[:2] for event in notes.ends()] == [
        ("failed", 1),
        ("finished", 0),
        ("finished", 2),
        ("finished", 3),
    ]


def test_dead_worker_costs_all_of_its_pack_that_had_not_ended(opened: Opened) -> None:
    pool, notes = opened(), Notes()
    pool.open()
    pool.run(iter([[job(0, "fails"), job(1, "trains"), job(2, "dies")]]), notes)
    assert [event[:3] for event in notes.ends()] == [
        ("failed", 0, Cause.NON_FINITE),
        ("failed", 1, Cause.WORKER_DIED),
        ("failed", 2, Cause.WORKER_DIED),
    ]


def test_worker_that_hangs_is_ended_at_its_limit(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_GRACE_SECONDS", 0.3)
    pool, notes = opened(), Notes()
    pool.open()
    pool.run(jobs("hangs", "trains", limit_seconds=0.2), notes)
    failed, finished = notes.ends()
    assert failed[:3] == ("failed", 0, Cause.TIMEOUT)
    assert "limit of 0.2 s" in failed[3]
    assert finished[:2] == ("finished", 1)


def test_training_that_is_kept_has_the_time_for_that_after_its_limit(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_GRACE_SECONDS", 0.0)
    pool, notes = opened(), Notes()
    pool.open()
    pool.run(iter([[job(0, "slow", 0.001, finish_seconds=60.0)]]), notes)
    assert notes.ends() == [("finished", 0, False)]


def test_worker_that_is_silent_for_too_long_is_ended_without_a_limit(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_STALL_SECONDS", 0.5)
    pool, notes = opened(), Notes()
    pool.open()
    pool.run(jobs("hangs", "trains"), notes)
    assert notes.ends()[0][:3] == ("failed", 0, Cause.TIMEOUT)
    assert "no sign of life" in notes.ends()[0][3]
    assert notes.ends()[1][:2] == ("finished", 1)


def test_silence_that_was_expected_is_no_fault(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_STALL_SECONDS", 0.0)
    pool, notes = opened(rows=[100, 10]), Notes()
    pool.open()
    pool.run(jobs("slow"), notes)
    assert notes.ends() == [("finished", 0, False)]


def test_of_a_pack_that_hangs_none_is_blamed(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_STALL_SECONDS", 0.5)
    pool, notes = opened(), Notes()
    pool.open()
    pool.run(iter([[job(0, "fails"), job(1, "trains"), job(2, "hangs")]]), notes)
    assert [event[:3] for event in notes.ends()] == [
        ("failed", 0, Cause.NON_FINITE),
        ("failed", 1, Cause.WORKER_DIED),
        ("failed", 2, Cause.WORKER_DIED),
    ]
    assert "no sign of life" in notes.ends()[1][3]


def test_process_that_never_gets_ready_is_an_error_with_its_last_words(opened: Opened) -> None:
    pool = opened(starts="never")
    with pytest.raises(AutoPeftError, match=r"(?s)status 3, 3 times.*cannot import torch"):
        pool.open()


def test_session_that_is_refused_is_the_error_that_the_worker_named(opened: Opened) -> None:
    pool = opened(starts="refused")
    with pytest.raises(ModelError, match="no such model"):
        pool.open()


@pytest.mark.slow
def test_check_ends_everything(opened: Opened) -> None:
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) > 20:
            raise KeyboardInterrupt

    pool = opened(check=check)
    pool.open()
    with pytest.raises(KeyboardInterrupt):
        pool.run(jobs("hangs"), Notes())


def test_close_ends_the_workers(opened: Opened) -> None:
    pool = opened()
    pid = pool.open()["pid"]
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
