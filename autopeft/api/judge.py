"""What the finalists' outputs on the selection split say: who still races, and who is chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autopeft.api.weights import whole
from autopeft.data.folds import fold_of
from autopeft.errors import NoCandidateError
from autopeft.records import Cause, TrialRecord, TrialState
from autopeft.search.bootstrap import Replicate, Resampled
from autopeft.search.finalist import Choice, Finalist
from autopeft.search.front import Point, gain, size
from autopeft.search.racing import undecided
from autopeft.search.select import POINT, choose, tolerance
from autopeft.search.space import Space
from autopeft.store import TrialStore
from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS, resampled, untrained_score
from autopeft.tasks.problem import Problem

PERCENT = ("accuracy", "macro-f1")
"""Metrics that people read as percentages."""

_OWN_FAILURES = (Cause.NON_FINITE, Cause.CONSTANT)
"""Causes that lie in the training, not in the machine or its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Compares finalists by the selection split.

    Args:
        trials: holds their replicates.
        folder: the run folder, with every replicate's outputs on the selection split.
        problem: task and metric.
        space: what was searched.
        targets: of the selection rows of each fold.
        train_targets: of the training split, for the score of a model that learnt nothing.
        within: how far below the best the choice may be.
        references_eligible: whether the default and the head alone may be chosen where the space
            does not hold their methods.
        seed: of the resampling.
    """

    trials: TrialStore
    folder: Path
    problem: Problem
    space: Space
    targets: Sequence[np.ndarray]
    train_targets: np.ndarray
    within: str
    references_eligible: bool
    seed: int

    def choose(self, final: Sequence[TrialRecord]) -> Choice:
        """Choose among the finalists; see `autopeft.search.select.choose`.

        Raises:
            NoCandidateError: there is none to choose; says why.
        """
        try:
            return self._choice(self._measured(final))
        except NoCandidateError as fault:
            raise NoCandidateError(f"nothing to choose from: {self._why_none(final)}") from fault

    def _why_none(self, final: Sequence[TrialRecord]) -> str:
        """Return why there is nothing to choose, though all finalists had a score once."""
        if not any(self._eligible(record) for record in final):
            asked = ", ".join(self.space.methods)
            return (
                f"no training of {asked} came to its end, and the default and the head alone are "
                f"there to compare with. See {self.folder}"
            )
        return (
            f"the weights of the finalists are gone from {self.folder / 'trials'} or damaged, and "
            "were not trained again, for want of time or because that failed; the same command "
            "with a longer --time-limit, or without one, trains them"
        )

    def _choice(self, measured: Sequence[Finalist]) -> Choice:
        return choose(
            measured,
            self._resampled(),
            rows=len(self._rows),
            higher_is_better=self._higher_is_better,
            within=self.within,
            point=self._point,
            floor=self._untrained,
            percent=self.problem.metric in PERCENT,
            bounds=(METRICS.get(self.problem.metric).low, METRICS.get(self.problem.metric).high),
            tried=self._tried(),
            seed=self.seed,
        )

    def within_reach(self, final: Sequence[TrialRecord]) -> set[int]:
        """Return the numbers of those that the rule accepts by what all were first trained on."""
        try:
            table = self._choice(self._measured(final, seeds=1)).table
        except NoCandidateError:
            return set()
        return {row.finalist.number for row in table if row.admissible}

    def undecided(self, final: Sequence[TrialRecord], seeds: int) -> list[int]:
        """Return the numbers of those that may still change the choice, the likeliest first.

        Args:
            final: the finalists without the head alone.
            seeds: only the first so many of each are looked at, so that a run that was killed
                decides as it did.
        """
        return undecided(
            self._measured(final, seeds),
            self._resampled(),
            rows=len(self._rows),
            higher_is_better=self._higher_is_better,
            allowed=tolerance(self.within, self._point),
            seed=self.seed,
        )

    @property
    def _higher_is_better(self) -> bool:
        return METRICS.get(self.problem.metric).higher_is_better

    @property
    def _untrained(self) -> float:
        return untrained_score(self.problem.metric, self.train_targets, self._rows)

    @property
    def _point(self) -> float:
        return worth_of_a_point(self.problem.metric, self._untrained)

    @property
    def _rows(self) -> np.ndarray:
        """The targets of all folds, one after the other."""
        return np.concatenate(self.targets)

    def _resampled(self) -> Resampled:
        targets, metric = self._rows, self.problem.metric
        return lambda predicted, weights: resampled(metric, targets, predicted, weights)

    def _measured(self, final: Sequence[TrialRecord], seeds: int | None = None) -> list[Finalist]:
        """Return the finalists of which some weights are whole.

        Of several folds only those count that all were trained on.
        """
        made = [self._finalist(record, seeds) for record in final]
        made = [finalist for finalist in made if finalist.replicates]
        if len(self.targets) == 1 or not made:
            return made
        shared = set.intersection(*({r.seed for r in one.replicates} for one in made))
        if not shared:
            return made
        return [
            dataclasses.replace(
                one, replicates=tuple(r for r in one.replicates if r.seed in shared)
            )
            for one in made
        ]

    def _finalist(self, record: TrialRecord, seeds: int | None) -> Finalist:
        runs = [record, *self.trials.replicates(record.number)]
        if seeds is not None:
            runs = [run for run in runs if run.seed < record.seed + seeds]
        usable = [run for run in runs if self._usable(run)]
        return Finalist(
            number=record.number,
            label=record.candidate.describe(),
            origin=record.origin,
            trainable_params=record.costs.trainable_params,
            fingerprint=record.candidate.fingerprint,
            artifact_bytes=record.costs.artifact_bytes,
            eligible=self._eligible(record),
            failures=tuple(
                f"{run.cause} under seed {run.seed}" for run in runs if run.cause in _OWN_FAILURES
            ),
            replicates=tuple(
                self._replicate(run, fold_of(run.seed - record.seed, len(self.targets)))
                for run in usable
            ),
            cut_short=any(run.cut_share is not None for run in usable),
        )

    def _eligible(self, record: TrialRecord) -> bool:
        return self.references_eligible or record.candidate.method in self.space.methods

    def _usable(self, run: TrialRecord) -> bool:
        return run.artifact is not None and whole(self.folder / run.artifact)

    def _replicate(self, run: TrialRecord, fold: int) -> Replicate:
        assert run.artifact is not None
        assert run.score is not None
        outputs = np.load(self.folder / run.artifact / "selection.npy", allow_pickle=False)
        predictions = TASKS.get(self.problem.task).predictions(outputs)
        if len(self.targets) == 1:
            return Replicate(seed=run.seed, score=run.score, predictions=predictions)
        start = sum(map(len, self.targets[:fold]))
        here = slice(start, start + len(self.targets[fold]))
        everywhere = np.zeros(sum(map(len, self.targets)), predictions.dtype)
        seen = np.zeros(len(everywhere), np.bool_)
        everywhere[here], seen[here] = predictions, True
        return Replicate(seed=run.seed, score=run.score, predictions=everywhere, seen=seen)

    def _tried(self) -> list[Point]:
        """Return first scores and sizes of the trials that came to their end, the head apart."""
        return [
            Point(
                gain=gain(record.score, self._higher_is_better),
                size=size(record.costs.trainable_params),
            )
            for record in self.trials.records()
            if record.state is TrialState.COMPLETE
            and record.score is not None
            and record.origin != "head"
        ]


def worth_of_a_point(metric: str, untrained: float) -> float:
    """Return what a point of a metric is: of one in units of the label, relative to no skill.

    Args:
        metric: its name.
        untrained: the score of a model that learnt nothing.
    """
    return POINT if math.isfinite(METRICS.get(metric).high) else POINT * untrained
