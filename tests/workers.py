"""What worker processes run in the tests of their supervision."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from autopeft.supervisor import Channel


def echo(channel: Channel) -> None:
    """Answer every message with itself."""
    while True:
        channel.send(channel.receive())


def chatter(channel: Channel) -> None:
    """Print a lot on both streams, then answer."""
    print("on the output")
    print("on the error stream", file=sys.stderr, flush=True)
    os.write(1, b"past python\n")
    channel.send({"said": channel.receive()})


def about_itself(channel: Channel) -> None:
    """Say what the process sees."""
    channel.send({"pid": os.getpid(), "colour": os.environ.get("COLOUR"), "group": os.getpgid(0)})
    channel.receive()


def busy(channel: Channel) -> None:
    """Never look at the channel again."""
    channel.send({"pid": os.getpid()})
    time.sleep(60)


def crash(channel: Channel) -> None:
    """Fail in Python."""
    channel.receive()
    raise RuntimeError("the reason")


def dies_in_a_word(channel: Channel) -> None:
    """Be killed in the middle of a message."""
    sink = channel._sink  # type: ignore[attr-defined]
    sink.write(b'{"half": ')
    sink.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def trainer(channel: Channel) -> None:
    """Play a training process: what a job does is written in its candidate's method.

    In a pack, the jobs follow each other, but are at the rung together.
    """
    opening = channel.receive()
    if opening.get("starts") == "never":
        print("cannot import torch", file=sys.stderr, flush=True)
        os._exit(3)
    if opening.get("starts") == "refused":
        channel.send({"kind": "refused", "error": "ModelError", "message": "no such model"})
        channel.receive()
    about = {"rows": opening.get("rows", [0, 0]), "row_seconds": 1.0, "scoring_seconds": 0.4}
    channel.send({"kind": "ready", "pid": os.getpid(), "order": opening, **about})
    while True:
        order = channel.receive()
        _train(channel, order)


def _train(channel: Channel, order: dict[str, Any]) -> None:
    arrived = []
    for job in order["jobs"]:
        method, number = job["candidate"]["method"], job["number"]
        if method == "dies":
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if method == "exits":
            os._exit(7)
        if method == "hangs":
            time.sleep(60)
        if method == "slow":
            time.sleep(0.2)
        if method == "fails":
            failure = {"cause": "non-finite-loss", "message": "nan"}
            channel.send({"kind": "failed", "number": number, **failure})
        else:
            arrived.append(number)
    shares = [{"number": number, "share": 0.5} for number in arrived]
    channel.send({"kind": "progress", "trials": shares, "examples_per_second": 5.0})
    point = {"rung": 0, "share": 0.5, "score": 0.75, "wall_seconds": 1.0}
    if arrived:
        points = [{"number": number, "point": point} for number in arrived]
        channel.send({"kind": "rung", "points": points})
        going = channel.receive()["numbers"]
        for number in arrived:
            stopped = number not in going
            channel.send(
                {"kind": "finished", "number": number, "stopped": stopped, "pid": os.getpid()}
            )
    channel.send({"kind": "free"})
