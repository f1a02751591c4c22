"""The training process: takes orders from the supervisor, one trial at a time.

Orders: ``open`` a session, ``train`` a candidate, answer a rung with ``go_on``.
Replies: ``ready``, ``progress``, ``rung``, ``finished``, ``failed``, ``refused`` (the session
cannot be opened, or the disk is full: the run cannot go on).
"""

from __future__ import annotations

import dataclasses
import errno
import os
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from autopeft.errors import AutoPeftError, TrialError
from autopeft.records import Candidate, Cause, RungPoint

if TYPE_CHECKING:
    from autopeft.supervisor import Channel
    from autopeft.train.session import Session

_DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
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
            channel.send(_train(session, channel, order))


def _train(session: Session, channel: Channel, order: dict[str, Any]) -> dict[str, Any]:
    from autopeft.train.fit import Watch

    identity = {"number": order["number"], "seed": order["seed"]}
    seconds = order.get("limit_seconds")
    watch = Watch(
        rungs=tuple(order["rungs"]),
        on_rung=lambda point: _ask(channel, identity, point),
        on_step=_Progress(channel, identity),
        deadline=None if seconds is None else time.monotonic() + seconds,
    )
    try:
        outcome = session.trial(
            Candidate.from_json(order["candidate"]),
            seed=order["seed"],
            watch=watch,
            artifact=Path(order["artifact"]),
            keep=order["keep"],
        )
    except TrialError as error:
        return {"kind": "failed", **identity, "cause": error.cause, "message": str(error)}
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_REFUSES:
            return {"kind": "refused", "error": "RunFolderError", "message": _no_room(error, order)}
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        return {"kind": "failed", **identity, "cause": Cause.BUG, "message": message}
    return {"kind": "finished", **identity, **outcome}


def _no_room(error: OSError, order: dict[str, Any]) -> str:
    return (
        f"cannot write {order['artifact']}: {error.strerror}; free some space and give the same "
        "command again. Earlier results are intact."
    )


def _ask(channel: Channel, identity: dict[str, Any], point: RungPoint) -> bool:
    channel.send({"kind": "rung", **identity, "point": dataclasses.asdict(point)})
    return bool(channel.receive()["go"])


class _Progress:
    """Reports steps done, not more often than the screen can show."""

    def __init__(self, channel: Channel, identity: dict[str, Any]) -> None:
        self._channel, self._identity = channel, identity
        self._last = 0.0

    def __call__(self, step: int, steps: int, examples_per_second: float) -> None:
        if time.monotonic() - self._last > _PROGRESS_SECONDS:
            self._last = time.monotonic()
            values = {"step": step, "steps": steps, "examples_per_second": examples_per_second}
            self._channel.send({"kind": "progress", **self._identity, **values})
