"""Runs packs of jobs on worker processes: hands out, answers rungs, replaces workers that die."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from autopeft import errors
from autopeft.api.estimate import silent_seconds
from autopeft.errors import AutoPeftError
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.supervisor import Event, Supervisor, Worker

WORK = "autopeft.train.worker:work"

_POLL_SECONDS = 0.2
_STALL_SECONDS = 900.0
_GRACE_SECONDS = 20.0
_LATE = 4.0  # times what is expected, where others may take the processor
_FAILED_STARTS = 3
_KILLED = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training for a worker, alone or in a pack of one seed, fold and list of rungs.

    Args:
        number: of the trial; tells the jobs of a pack apart.
        candidate: what to train.
        seed: of initialisation, dropout and data order.
        rungs: shares of the training at which the watcher is asked.
        artifact: folder for the trained adapter.
        fold: that it is trained and scored on; see `autopeft.data.folds`.
        limit_seconds: training is cut at this time; None for never.
        keep: whether a training that was cut is finished with its best weights so far.
        finish_seconds: what that is expected to take.
    """

    number: int
    candidate: Candidate
    seed: int
    rungs: tuple[float, ...]
    artifact: Path
    fold: int = 0
    limit_seconds: float | None = None
    keep: bool = False
    finish_seconds: float = 0.0

    def order(self) -> dict[str, Any]:
        """Return the job as plain values for the worker."""
        return {
            "number": self.number,
            "candidate": self.candidate.to_json(),
            "artifact": str(self.artifact),
            "limit_seconds": self.limit_seconds,
            "keep": self.keep,
        }


Pack = Sequence[Job]
"""Jobs that one worker trains in one pass; see `autopeft.methods.pack_key`."""


class Watcher(Protocol):
    """Whoever wants to know what becomes of the jobs."""

    def started(self, job: Job) -> None: ...

    def progress(self, job: Job, share: float, examples_per_second: float) -> None: ...

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]: ...

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None: ...

    def failed(self, job: Job, cause: Cause, message: str) -> None: ...


@dataclass(slots=True)
class _Slot:
    """What the pool knows of a worker."""

    ready: bool = False  # its session is open
    jobs: dict[int, Job] = field(default_factory=dict)  # that have not ended, by number
    busy: bool = False
    since: float = 0.0  # start of the pack
    limit: float | None = None  # of the pack
    grace: float = _GRACE_SECONDS  # beyond its limit
    silence: float = 0.0  # that is taken for work
    heard: float = 0.0  # last message
    overdue: str = ""  # why the process is being ended


class Pool:
    """Worker processes that share one session setting.

    Args:
        supervisor: starts the processes.
        setting: the order that opens a session, as `autopeft.train.session.Setting`.
        environments: per worker, the variables it gets.
        check: called often; raises to end everything, as on Ctrl-C.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        setting: Callable[[], dict[str, Any]],
        environments: list[dict[str, str]],
        check: Callable[[], None],
    ) -> None:
        self._supervisor, self._setting, self._check = supervisor, setting, check
        self._environments = environments
        self._slots: dict[Worker, _Slot] = {}
        self._failed_starts = 0
        self.about: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._environments)

    def launch(self) -> None:
        """Start the first worker's process, so that it imports while the caller prepares."""
        self._start(0)

    def open(self) -> dict[str, Any]:
        """Open the first worker's session and return what it says of itself.

        Raises:
            AutoPeftError: the session cannot be opened; of the class that the worker named.
        """
        for worker in self._slots:
            worker.send(self._setting())
        while self.about is None:
            self._check()
            self._handle(self._supervisor.next_event(_POLL_SECONDS), None)
        for index in range(1, self.size):
            self._start(index).send(self._setting())
        return self.about

    def run(self, packs: Iterator[Pack], watcher: Watcher) -> int:
        """Run packs until there are none left and return how many were handed out.

        A pack is taken from the iterator only when a worker is free.
        """
        count, exhausted = 0, False
        while True:
            self._check()
            for worker, slot in self._slots.items():
                if not exhausted and slot.ready and not slot.busy:
                    pack = next(packs, None)
                    exhausted = pack is None
                    if pack is not None:
                        self._hand_out(worker, slot, pack, watcher)
                        count += 1
            if exhausted and not any(slot.busy for slot in self._slots.values()):
                return count
            self._handle(self._supervisor.next_event(_POLL_SECONDS), watcher)
            self._end_stalled()

    def close(self) -> None:
        """End the workers."""
        for worker in self._slots:
            worker.kill()
        self._slots.clear()

    def _start(self, index: int) -> Worker:
        self._slots = {w: slot for w, slot in self._slots.items() if w.index != index}
        worker = self._supervisor.start(index, self._environments[index])
        self._slots[worker] = _Slot(heard=time.monotonic())
        return worker

    def _hand_out(self, worker: Worker, slot: _Slot, pack: Pack, watcher: Watcher) -> None:
        slot.jobs, slot.busy = {job.number: job for job in pack}, True
        slot.since = slot.heard = time.monotonic()
        limits = [job.limit_seconds for job in pack]
        slot.limit = max((limit for limit in limits if limit is not None), default=None)
        slot.limit = None if None in limits else slot.limit
        slot.grace = _GRACE_SECONDS + _LATE * sum(job.finish_seconds for job in pack)
        expected = silent_seconds(self.about) if self.about else 0.0
        slot.silence = max(_STALL_SECONDS, _LATE * expected * len(pack))
        for job in pack:
            watcher.started(job)
        first = pack[0]
        orders = [job.order() for job in pack]
        common = {"seed": first.seed, "fold": first.fold, "rungs": list(first.rungs)}
        worker.send({"op": "train", "jobs": orders, **common})

    def _handle(self, event: Event | None, watcher: Watcher | None) -> None:
        if event is None or event.worker not in self._slots:
            return
        slot = self._slots[event.worker]
        slot.heard = time.monotonic()
        if event.message is None:
            self._replace(event.worker, slot, watcher)
            return
        message = event.message
        kind = message.pop("kind")
        if kind == "ready":
            self._failed_starts = 0
            slot.ready = True
            self.about = self.about or message
            return
        if kind == "refused":
            raise getattr(errors, message["error"], AutoPeftError)(message["message"])
        assert watcher is not None
        if kind == "free":
            slot.busy = False
        elif kind == "progress":
            for of in message["trials"]:
                if of["number"] in slot.jobs:
                    job = slot.jobs[of["number"]]
                    watcher.progress(job, of["share"], message["examples_per_second"])
        elif kind == "rung":
            points = {of["number"]: RungPoint(**of["point"]) for of in message["points"]}
            event.worker.send({"op": "go_on", "numbers": sorted(watcher.rung(points))})
        else:
            job = slot.jobs.pop(message.pop("number"))
            if kind == "finished":
                watcher.finished(job, message)
            else:
                watcher.failed(job, Cause(message["cause"]), message["message"])

    def _replace(self, worker: Worker, slot: _Slot, watcher: Watcher | None) -> None:
        """Start another process for one that died, and report the job it lost."""
        how, words = _how(worker.exit_code), worker.last_words(5)
        if not slot.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                said = f" The last it said:\n{words}" if words else ""
                raise AutoPeftError(
                    f"the training process {how}, {_FAILED_STARTS} times before it was ready.{said}"
                )
        self._start(worker.index).send(self._setting())
        if watcher is None:
            return
        last = f". {words.splitlines()[-1]}" if words else ""
        message = slot.overdue or f"the process {how}{last}"
        alone = len(slot.jobs) == 1  # of several, nobody knows which one hangs
        cause = Cause.TIMEOUT if slot.overdue and alone else Cause.WORKER_DIED
        for job in slot.jobs.values():
            watcher.failed(job, cause, message)

    def _end_stalled(self) -> None:
        """Kill workers that went far over their limit or have been silent for too long."""
        now = time.monotonic()
        for worker, slot in self._slots.items():
            if not slot.busy:
                continue
            if slot.limit is not None and now - slot.since > slot.limit + slot.grace:
                slot.overdue = f"still running long after its limit of {slot.limit:.1f} s"
            elif now - slot.heard > slot.silence:
                slot.overdue = f"no sign of life for {slot.silence:.0f} s"
            if slot.overdue:
                worker.kill()


def _how(code: int | None) -> str:
    """Return in words how a process ended that nobody here has ended."""
    if code == _KILLED:
        return "was killed (signal 9), as the system does where memory runs out"
    if code is not None and code < 0:
        return f"ended with signal {-code}"
    return f"ended with exit status {code}"
