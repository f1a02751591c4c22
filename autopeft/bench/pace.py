"""How fast this machine trains, so that what another one took can be told in its own seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopeft.api.estimate import expected_seconds
from autopeft.records import Candidate

_KIND = ("processor", "instructions", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A kind of machine, and how long it takes to train.

    Args:
        hardware: of `autopeft.bench.circumstances`.
        about: of `autopeft.train.session.Session.pace`.
    """

    hardware: Mapping[str, Any]
    about: Mapping[str, Any]

    def seconds(self, candidate: Candidate, line: Mapping[str, Any]) -> float:
        """Return how long a training takes here, evaluation included.

        What the same kind of machine has measured counts as it is; of another kind of machine what
        it is expected to take here.

        Args:
            candidate: what was trained.
            line: of the cell; what failed takes no time.
        """
        if "costs" not in line:
            return 0.0
        own = line.get("hardware", {})
        if all(own.get(key) == self.hardware.get(key) for key in _KIND):
            return float(line["costs"]["train_seconds"])
        return expected_seconds(candidate, self.about)
