"""What a replayed search would deliver, and how good that is on the test split.

The choice is the program's own, whichever policy searched: five finalists by selection score, the
recorded seeds of each, its usual rule on 2,000 resamples of the selection rows. The
oracle is the row of the table with the best mean test score; a best of so many is partly luck, so
regret against it is too high, for every policy alike. Regret is also told against what half of the
test rows would have picked, scored on the other half: there no luck counts, but half of the rows
know the best less well, so that this one is rather too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autopeft.errors import NoCandidateError
from autopeft.records import Costs, TrialRecord, TrialState
from autopeft.search.bootstrap import Replicate, bootstrap
from autopeft.search.finalist import Finalist
from autopeft.search.portfolio import references
from autopeft.search.select import choose, finalists
from autopeft.tasks.metric import METRICS, resampled, untrained_score
from benchmarks.search.recorded import Row, Table, Training
from benchmarks.search.replay import Step

RESAMPLES = 1000
"""Of the test rows."""

HALVINGS = 100
"""Of the test rows, each used both ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A choice beside the oracle.

    Args:
        row: what was chosen.
        regret: how far its mean test score is below the oracle's, in units of the metric.
        fair_regret: how far it is below `Referee.without_luck`; may be below 0.
        tried: how far the best mean test score of what was completed is below the oracle's: what
            of `regret` the search owes and not the choice.
        within: whether that is at most one standard error of their difference, over resamples of
            the test rows and of the seeds.
        ratio: of its trained parameters to the oracle's, one added to both.
    """

    row: Row
    regret: float
    fair_regret: float
    tried: float
    within: bool
    ratio: float


class Referee:
    """Chooses among what a search has trained, and judges the choice.

    Args:
        table: of the task.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._metric = METRICS.get(table.metric)
        self._origins = origins_of(table)
        self._chosen: dict[tuple[str, ...], Row | None] = {}

    @cached_property
    def oracle(self) -> Row:
        """The row with the best mean test score; of equal ones the smallest."""
        return max(self._scored, key=lambda row: (self._table.gain(row.test), -row.size))

    @cached_property
    def _scored(self) -> list[Row]:
        return [row for row in self._table.rows if row.test is not None]

    @cached_property
    def without_luck(self) -> float:
        """Mean gain of the row that half of the test rows pick, on the other half."""
        targets = self._table.targets["test"]
        generator = np.random.default_rng(0)
        half = np.arange(len(targets)) < len(targets) // 2
        drawn = np.stack([generator.permutation(half) for _ in range(HALVINGS)])
        picking = self._test_gains(np.concatenate([drawn, ~drawn]).astype(np.int64))
        scoring = np.roll(picking, HALVINGS, axis=1)
        picked = picking.argmax(axis=0)
        return float(np.take_along_axis(scoring, picked[None], axis=0).mean())

    def _test_gains(self, weights: np.ndarray) -> np.ndarray:
        """Return the mean gain over the seeds of each row (R, B) on weighted test rows (B, N)."""
        table, targets = self._table, self._table.targets["test"]

        def gains(training: Training) -> np.ndarray:
            predicted = training.predictions("test")
            scores = resampled(table.metric, targets, predicted, weights)
            return scores if table.higher_is_better else -scores

        each = ([gains(one) for one in row.trainings] for row in self._scored)
        return np.stack([np.mean(own, axis=0) for own in each])

    def judge(self, steps: Sequence[Step]) -> Delivered | None:
        """Return what would be delivered after some trainings; None if none was completed."""
        row = self._choice(steps)
        if row is None:
            return None
        regret = self._table.gain(self.oracle.test) - self._table.gain(row.test)
        apart = self._resampled[self.oracle.candidate.fingerprint]
        apart = apart - self._resampled[row.candidate.fingerprint]
        return Delivered(
            row=row,
            regret=regret,
            fair_regret=self.without_luck - self._table.gain(row.test),
            tried=self._table.gain(self.oracle.test) - self._best_of(steps),
            within=regret <= float(apart.std(ddof=1)) or row is self.oracle,
            ratio=(1 + row.trainable_params) / (1 + self.oracle.trainable_params),
        )

    def _best_of(self, steps: Sequence[Step]) -> float:
        """Return the best mean test gain of what was completed."""
        rows = [step.row for step in steps if step.state is TrialState.COMPLETE]
        return max(self._table.gain(row.test) for row in rows if row.test is not None)

    def _choice(self, steps: Sequence[Step]) -> Row | None:
        records = [_record(number, step, self._origins) for number, step in enumerate(steps)]
        higher = self._table.higher_is_better
        final = [steps[n].row for n in finalists(records, higher_is_better=higher)]
        final = [row for row in final if row.score is not None]
        names = tuple(row.candidate.fingerprint for row in final)
        if names not in self._chosen:
            self._chosen[names] = self._among(final)
        return self._chosen[names]

    def _among(self, final: Sequence[Row]) -> Row | None:
        table, targets = self._table, self._table.targets["selection"]
        try:
            choice = choose(
                [self._finalist(number, row) for number, row in enumerate(final)],
                lambda predicted, weights: resampled(table.metric, targets, predicted, weights),
                rows=len(targets),
                higher_is_better=table.higher_is_better,
                floor=self._untrained,
            )
        except NoCandidateError:
            return None
        return final[choice.number]

    def _finalist(self, number: int, row: Row) -> Finalist:
        origin = self._origins.get(row.candidate.fingerprint, "tpe")
        return finalist_of(number, row, origin, _replicates(row, "selection"))

    @cached_property
    def _untrained(self) -> float | None:
        """The score of the most frequent class; None where there are no classes."""
        targets = self._table.targets["selection"]
        classes = bool(self._table.labels)
        return untrained_score(self._table.metric, targets, targets) if classes else None

    @cached_property
    def _resampled(self) -> dict[str, np.ndarray]:
        """The test score of every row on each resample, (B,), by fingerprint."""
        table, targets = self._table, self._table.targets["test"]
        drawn = bootstrap(
            [_replicates(row, "test") for row in self._scored],
            lambda predicted, weights: resampled(table.metric, targets, predicted, weights),
            rows=len(targets),
            seed=0,
            resamples=RESAMPLES,
        ).draws
        scored = zip(self._scored, drawn, strict=True)
        return {row.candidate.fingerprint: one for row, one in scored}


def origins_of(table: Table) -> dict[str, str]:
    """Return the origins of the references by their fingerprints; all else is TPE's."""
    return {one.fingerprint: name for name, one in references(table.space).items()}


def finalist_of(number: int, row: Row, origin: str, replicates: tuple[Replicate, ...]) -> Finalist:
    """Return a row of a table as a finalist with these replicates."""
    return Finalist(
        number=number,
        label=row.candidate.describe(),
        origin=origin,
        trainable_params=row.trainable_params,
        fingerprint=row.candidate.fingerprint,
        artifact_bytes=row.artifact_bytes,
        replicates=replicates,
    )


def _replicates(row: Row, split: str) -> tuple[Replicate, ...]:
    return tuple(
        Replicate(
            seed=one.seed,
            score=float((one.test if split == "test" else one.score) or 0.0),
            predictions=one.predictions(split),
        )
        for one in row.complete
    )


def _record(number: int, step: Step, origins: dict[str, str]) -> TrialRecord:
    complete = step.state is TrialState.COMPLETE
    return TrialRecord(
        number=number,
        candidate=step.row.candidate,
        seed=step.training.seed,
        state=step.state,
        origin=origins.get(step.row.candidate.fingerprint, "tpe"),
        costs=Costs(trainable_params=step.row.trainable_params),
        score=step.training.score if complete else None,
    )
