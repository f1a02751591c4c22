"""How fast this machine trains, so that what another one took can be told in its own seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopeft.train.precision import Plan
from autopeft.train.probe import PROBE_ROWS

_KIND = ("processor", "instructions", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A kind of machine, and how long it takes for a step.

    Args:
        hardware: of `autopeft.bench.circumstances`.
        seconds_per_step: of default LoRA alone, on 16 rows.
    """

    hardware: Mapping[str, Any]
    seconds_per_step: float

    @classmethod
    def of(cls, plan: Plan, hardware: Mapping[str, Any]) -> Pace:
        """Return the pace that a session has measured."""
        return cls(hardware=hardware, seconds_per_step=plan.seconds_per_step or 0.0)

    def seconds(self, line: Mapping[str, Any], rows: int) -> float:
        """Return how long a training takes here, evaluation included.

        What the same kind of machine has measured counts as it is. Of another kind of machine only
        the steps count, each as one of default LoRA.

        Args:
            line: of a cell; what failed takes no time.
            rows: to train on.
        """
        if "costs" not in line:
            return 0.0
        own, here = line.get("hardware", {}), self.hardware
        if self.seconds_per_step == 0.0 or all(own.get(key) == here.get(key) for key in _KIND):
            return float(line["costs"]["train_seconds"])
        candidate = line["candidate"]
        steps = candidate["epochs"] * math.ceil(rows / candidate["batch_size"])
        share = candidate["batch_size"] / PROBE_ROWS
        return float(steps * share * self.seconds_per_step)
