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
    """Play a training process: what a job does is written in its candidate's method."""
    opening = channel.receive()
    if opening.get("starts") == "never":
        print("cannot import torch", file=sys.stderr, flush=True)
        os._exit(3)
    if opening.get("starts") == "refused":
        channel.send({"kind": "refused", "error": "ModelError", "message": "no such model"})
        channel.receive()
    channel.send({"kind": "ready", "pid": os.getpid(), "order": opening})
    while True:
        order = channel.receive()
        _train(channel, order)


def _train(channel: Channel, order: dict[str, Any]) -> None:
    identity = {"number": order["number"], "seed": order["seed"]}
    method = order["candidate"]["method"]
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
        channel.send({"kind": "failed", **identity, "cause": "non-finite-loss", "message": "nan"})
        return
    channel.send(
        {"kind": "progress", **identity, "step": 1, "steps": 2, "examples_per_second": 5.0}
    )
    point = {"rung": 0, "share": 0.5, "score": 0.75, "wall_seconds": 1.0}
    channel.send({"kind": "rung", **identity, "point": point})
    go = channel.receive()["go"]
    channel.send({"kind": "finished", **identity, "stopped": not go, "pid": os.getpid()})
