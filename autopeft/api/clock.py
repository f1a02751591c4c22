"""The time limit: how it is divided, and whether something still fits.

A run with a limit has three parts: the search, the finalists' replicates and the delivery. What
the later parts will take is estimated from what was measured so far, and the search ends in time
for them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from autopeft.records import Candidate
from autopeft.search.portfolio import HEAD_METHOD

SEARCH_SHARE = 0.6
_MARGIN_SECONDS = 1.5
_MARGIN_OF_SCORING = 1.25  # of a fresh process, whose first batches are slow
_LEAST_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Clock:
    """Time left, and what things take.

    Args:
        limit_seconds: of the whole run; None for no limit.
        spent_seconds: used by earlier sittings of the run.
        now: the time in seconds; replaced in tests.
        delivery_seconds: set aside for the delivery, beside what scoring takes.
        delivery_rows: how many it scores.
        scoring_seconds: what scoring a row is expected to take before any was measured.
        finish_seconds: what it takes to keep a training that was cut short: its selection rows are
            evaluated, and then again as it was saved, as at the end of every training.
        expected_seconds: what a full training is expected to take before any was measured; 0 where
            that is not known.
    """

    limit_seconds: float | None
    spent_seconds: float = 0.0
    now: Callable[[], float] = time.monotonic
    delivery_seconds: float = 10.0
    delivery_rows: int = 0
    scoring_seconds: float = 0.0
    finish_seconds: float = 0.0
    expected_seconds: float = 0.0
    _started: float = field(init=False)
    _rates: dict[str, list[float]] = field(init=False, default_factory=dict)
    _full: dict[str, list[float]] = field(init=False, default_factory=dict)
    _whole: dict[str, list[float]] = field(init=False, default_factory=dict)
    _durations: dict[str, list[float]] = field(init=False, default_factory=dict)
    _scorings: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def elapsed_seconds(self) -> float:
        """Time used, earlier sittings included."""
        return self.spent_seconds + self.now() - self._started

    @property
    def left_seconds(self) -> float | None:
        """Time that a training may take, at least a second; None without a limit."""
        left = self._left()
        return None if left is None else max(_LEAST_SECONDS, left)

    @property
    def reference_seconds(self) -> float | None:
        """Time until a training is cut whose result is kept, at least a second."""
        left = self._left()
        return None if left is None else max(_LEAST_SECONDS, left - self.finish_seconds)

    def _left(self) -> float | None:
        """Return what is left, the delivery set aside; below 0 when it is used up."""
        if self.limit_seconds is None:
            return None
        return self.limit_seconds - self._reserve - self.elapsed_seconds

    @property
    def _reserve(self) -> float:
        """What is set aside for the delivery."""
        row = self.scoring_seconds
        if self._scorings:
            row = _MARGIN_OF_SCORING * statistics.median(self._scorings)
        return self.delivery_seconds + self.delivery_rows * row + _MARGIN_SECONDS

    def scored(self, row_seconds: float) -> None:
        """Learn from the scoring of a model what a row takes."""
        self._scorings.append(row_seconds)

    def measured(self, candidate: Candidate, seconds: float, share: float) -> None:
        """Learn from a training that did `share` of its steps in `seconds`."""
        if share > 0:
            self._durations.setdefault(candidate.method, []).append(seconds)
            rate = seconds / (share * candidate.epochs)
            self._rates.setdefault(candidate.method, []).append(rate)
            self._full.setdefault(candidate.method, []).append(seconds / share)
        if share == 1.0:
            self._whole.setdefault(candidate.fingerprint, []).append(seconds)

    def estimate_seconds(self, candidate: Candidate) -> float | None:
        """Return the expected time of a full training, until it is saved and measured.

        What was trained to its end takes as long again. A method that was not measured yet is taken
        to be as slow as the slowest that was. None while nothing was measured.
        """
        whole = self._whole.get(candidate.fingerprint)
        if whole:
            return statistics.median(whole) + self.finish_seconds / 2
        rates = self._rates.get(candidate.method)
        known = [statistics.median(values) for values in self._rates.values()]
        if not known:
            return None
        rate = statistics.median(rates) if rates else max(known)
        return rate * candidate.epochs + self.finish_seconds / 2

    @property
    def full_seconds(self) -> float:
        """How long a full training takes so far, that of the usual number of epochs.

        The head alone, which replays the whole backbone, says nothing of the others.
        """
        known = [statistics.median(values) for values in _of_adapted(self._full)]
        return statistics.median(known) if known else self.expected_seconds

    def fits(self, *candidates: Candidate, margin: float = 1.0) -> bool:
        """Whether full trainings of the candidates, one after the other, fit in what is left.

        Args:
            candidates: to train.
            margin: how many times their expected time there must be.
        """
        left = self._left()
        needed = sum(self.estimate_seconds(candidate) or 0.0 for candidate in candidates)
        return left is None or margin * needed <= left

    def search_seconds(self, aside: float) -> float | None:
        """Return what is left for the search itself, below 0 when it is used up.

        None without a limit.

        Args:
            aside: what is set aside for further seeds of the finalists.
        """
        left = self._left()
        return None if left is None else left - aside

    def aside(self, wanted: Sequence[float]) -> float:
        """Return the first time that is at most `most_aside`, 0 if none is.

        Args:
            wanted: times that may be set aside for further seeds of the finalists, the best first.
        """
        return next((seconds for seconds in wanted if seconds <= self.most_aside), 0.0)

    @property
    def most_aside(self) -> float:
        """Return what further seeds may have of the time that the delivery leaves, in seconds."""
        if self.limit_seconds is None:
            return math.inf
        return (1 - SEARCH_SHARE) * (self.limit_seconds - self._reserve)

    @property
    def typical_seconds(self) -> float:
        """How long a trial took so far until it was saved, stopped ones included.

        0 before the first; the head alone counts only while there is no other.
        """
        known = list(chain.from_iterable(_of_adapted(self._durations)))
        known = known or self._durations.get(HEAD_METHOD, [])
        return statistics.median(known) + self.finish_seconds / 2 if known else 0.0


def _of_adapted(times: Mapping[str, list[float]]) -> list[list[float]]:
    """Return the times of each method but the head alone."""
    return [values for method, values in times.items() if method != HEAD_METHOD]
