"""A stopwatch that tells training from evaluation, the same for both contenders."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch


@dataclass(slots=True)
class Laps:
    """Times at which a training began, ended its epochs and ended their evaluations.

    Attributes:
        started: when the call that trains was entered; set-up of its loop is part of the training.
        trained: when the last step of each epoch was done.
        evaluated: when the evaluation after each epoch was done.
    """

    started: float = 0.0
    trained: list[float] = field(default_factory=list)
    evaluated: list[float] = field(default_factory=list)

    @property
    def train_seconds(self) -> float:
        """Time of the training steps and of the loop around them."""
        begun = [self.started, *self.evaluated[:-1]]
        return sum(end - begin for begin, end in zip(begun, self.trained, strict=True))

    @property
    def evaluation_seconds(self) -> float:
        """Time of the evaluations."""
        return sum(b - a for a, b in zip(self.trained, self.evaluated, strict=True))


def now() -> float:
    """Return the time in seconds, with all work on a GPU done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return what tells the seconds of work on a device, whoever else is busy on a processor."""
    return time.process_time if device.type == "cpu" else now
