"""The training process: takes orders from the supervisor, one pack of trials at a time.

Orders: ``open`` a session, ``train`` a pack, answer a rung with ``go_on``.
Replies: ``ready`` once opened, and for a pack ``progress``, ``rung``, for each trial ``finished``
or ``failed``, then ``free``. ``refused``: the session cannot be opened, or the disk is full; the
run cannot go on.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from autopeft.errors import AutoPeftError, TrialError
from autopeft.records import Candidate, RungPoint

if TYPE_CHECKING:
    from autopeft.supervisor import Channel
    from autopeft.train.session import Session

_PROGRESS_SECONDS = 0.25


def work(channel: Channel) -> None:
    """Serve orders until the supervisor closes the channel."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from autopeft.train.session import open_session

    import_seconds = time.time() - psutil.Process().create_time()
    session: Session | None = None
    while True:
        order = channel.receive()
        if order["op"] == "open":
            try:
                session, about = open_session(order)
            except AutoPeftError as error:
                channel.send(
                    {"kind": "refused", "error": type(error).__name__, "message": str(error)}
                )
            else:
                ready_seconds = import_seconds + about.pop("open_seconds")
                channel.send({"kind": "ready", **about, "ready_seconds": ready_seconds})
        else:
            assert session is not None
            _train(session.on_fold(order["fold"]), channel, order)


def _train(session: Session, channel: Channel, order: dict[str, Any]) -> None:
    from autopeft.train.attempt import Order
    from autopeft.train.fit import Watch

    jobs = order["jobs"]
    missing = dict(enumerate(jobs))
    now = time.monotonic()
    orders = [
        Order(
            candidate=Candidate.from_json(job["candidate"]),
            artifact=Path(job["artifact"]),
            deadline=None if job["limit_seconds"] is None else now + job["limit_seconds"],
            keep=job["keep"],
        )
        for job in jobs
    ]

    def ended(place: int, outcome: dict[str, Any] | TrialError) -> None:
        number = missing.pop(place)["number"]
        if isinstance(outcome, TrialError):
            failure = {"cause": outcome.cause, "message": str(outcome)}
            channel.send({"kind": "failed", "number": number, **failure})
        else:
            channel.send({"kind": "finished", "number": number, **outcome})

    def on_rung(points: Mapping[int, RungPoint]) -> list[int]:
        shown = [
            {"number": jobs[place]["number"], "point": dataclasses.asdict(point)}
            for place, point in points.items()
        ]
        channel.send({"kind": "rung", "points": shown})
        numbers = channel.receive()["numbers"]
        return [place for place in points if jobs[place]["number"] in numbers]

    numbers = [job["number"] for job in jobs]
    watch = Watch(on_rung=on_rung, on_step=_Progress(channel, numbers))
    try:
        session.pack(
            orders, seed=order["seed"], rungs=tuple(order["rungs"]), watch=watch, ended=ended
        )
    except OSError as error:
        said = _no_room(error, next(iter(missing.values()), jobs[0])["artifact"])
        channel.send({"kind": "refused", "error": "RunFolderError", "message": said})
    else:
        channel.send({"kind": "free"})


def _no_room(error: OSError, artifact: str) -> str:
    return (
        f"cannot write {artifact}: {error.strerror}; free some space and give the "
        "same command again. Earlier results are intact."
    )


class _Progress:
    """Reports how far trials are, not more often than the screen can show."""

    def __init__(self, channel: Channel, numbers: Sequence[int]) -> None:
        self._channel, self._numbers = channel, numbers
        self._last = 0.0

    def __call__(self, shares: Mapping[int, float], examples_per_second: float) -> None:
        if time.monotonic() - self._last > _PROGRESS_SECONDS:
            self._last = time.monotonic()
            done = [{"number": self._numbers[p], "share": share} for p, share in shares.items()]
            rate = {"examples_per_second": examples_per_second}
            self._channel.send({"kind": "progress", "trials": done, **rate})
