"""The training process of the tests: the real one, with a fixed plan and faults on request.

``FAULT`` is a list of ``kind:method`` separated by commas (``*`` for any method); ``PAUSE`` makes
every pass take so many seconds; ``PACK`` candidates share a pass.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from autopeft.records import Candidate
from autopeft.supervisor import Channel, Message

PLAN = {
    "dtype": "float32",
    "attention": "eager",
    "seconds_per_step": 0.01,
    "seconds_per_token": 1e-4,
}


class FixedPlan:
    """A channel that leaves nothing to the speed of the machine."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def receive(self) -> Message:
        order = self._channel.receive()
        plan = {**PLAN, "pack": int(os.environ.get("PACK", "1"))}
        return {**order, "plan": plan, "threads": 1} if order["op"] == "open" else order

    def send(self, message: Mapping[str, Any]) -> None:
        self._channel.send(message)


def work(channel: Channel) -> None:
    """Serve orders as `autopeft.train.worker.work` does."""
    from autopeft.train import attempt, worker
    from autopeft.train.runner import Runner

    faults = [fault.split(":") for fault in os.environ.get("FAULT", "").split(",") if fault]
    real_adapt, real_save = attempt.adapt, attempt.save_artifact
    real_run: Any = Runner.__call__

    def chosen(candidate: Candidate) -> list[str]:
        return [kind for kind, method in faults if method in ("*", candidate.method)]

    def adapt(backbone: Any, candidate: Candidate, **options: Any) -> Any:
        model = real_adapt(backbone, candidate, **options)
        for kind in chosen(candidate):
            _before_training(kind, model)
        return model

    def run(runner: Any, *batch: Any) -> Any:
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return real_run(runner, *batch)

    def save(model: Any, folder: Any, candidate: Candidate) -> int:
        if "die-saving" in chosen(candidate):
            folder.mkdir(parents=True)
            (folder / "adapter_model.safetensors").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        if "disk-full" in chosen(candidate):
            raise OSError(28, "No space left on device")
        return real_save(model, folder, candidate)

    attempt.adapt, attempt.save_artifact = adapt, save
    Runner.__call__ = run
    worker.work(FixedPlan(channel))


def _before_training(kind: str, model: Any) -> None:
    if kind == "bug":
        raise KeyError("a fault of ours")
    if kind == "memory":
        raise MemoryError("no memory for that")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(600)
    if kind == "nan":
        next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
