"""Replay a search on a table: its suggestions are answered by what was recorded.

A policy is asked what to train; the answer is the nearest row that it has not been given yet, by
the rule of `benchmarks.search.distance`, the same for every policy. Rows of methods that its space
lacks are not given to it: the replay ends when it has no other left. It is told the row's size and,
epoch by epoch, its scores, as if the suggestion had them; every epoch told is an epoch spent. What
a policy stopped it may begin again, from the first epoch and at the price of all of them. A failed
training counts as a whole one: how far it came was not recorded. Which of a row's recorded seeds is
replayed is drawn by the replay's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from autopeft.records import Candidate, TrialState
from autopeft.search.portfolio import HEAD_METHOD
from autopeft.search.space import Space
from benchmarks.search.distance import Place, distance, place
from benchmarks.search.recorded import Row, Table, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a policy is told at the end of a training.

    Args:
        state: what became of it.
        score: of a complete training.
    """

    state: TrialState
    score: float | None = None


class Policy(Protocol):
    """A way to search: it has at most one training under way."""

    @property
    def space(self) -> Space:
        """What it may propose."""

    def ask(self) -> Candidate | None:
        """Return what to train next, None if there is nothing."""

    def repeats(self) -> bool:
        """Return whether what it last asked for is something stopped, to be trained once more."""

    def begin(self, row: Row) -> None:
        """Hear which row is trained in its place."""

    def goes_on(self, epoch: int, score: float) -> bool:
        """Hear the score after an epoch, counted from 1; return whether to train on."""

    def tell(self, answer: Answer) -> None:
        """Hear what became of the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One training of a replayed search.

    Args:
        row: what was trained.
        training: which of its recorded trainings.
        state: what became of it.
        epochs: spent by the search so far, this training included.
        compute: the same in epochs of the default, see `Table.price`.
    """

    row: Row
    training: Training
    state: TrialState
    epochs: int
    compute: float


def within(table: Table, space: Space) -> list[Row]:
    """Return the rows whose method a space has, and the head alone, which every search trains."""
    return [row for row in table.rows if row.candidate.method in (HEAD_METHOD, *space.methods)]


class Untried:
    """The rows of a table that a search has not been given yet.

    Args:
        table: with all rows.
        space: of the search.
    """

    def __init__(self, table: Table, space: Space) -> None:
        self._space, self._shape = table.space, table.backbone.shape
        self._left = [
            (place(row.candidate, row.trainable_params, self._shape), row)
            for row in within(table, space)
        ]

    def __len__(self) -> int:
        return len(self._left)

    def take(self, candidate: Candidate) -> Row:
        """Return the nearest row and remove it; of equally near ones the first in the table."""
        asked: Place = place(candidate, self._space.count(candidate), self._shape)
        apart = [distance(asked, there) for there, _ in self._left]
        return self._left.pop(apart.index(min(apart)))[1]


def replay(
    policy: Policy,
    table: Table,
    *,
    seed: int,
    epochs: int | None = None,
    enough: Callable[[Sequence[Step]], bool] = lambda _steps: False,
) -> list[Step]:
    """Run a search on a table and return what it trained, in order.

    Args:
        policy: asked until it has nothing to ask.
        table: of a task.
        seed: draws which recorded training of a row is replayed.
        epochs: no training begins once so many are spent; None: until every row of the policy's
            methods was given.
        enough: from what was trained so far, whether to end before that.
    """
    untried = Untried(table, policy.space)
    generator, spent, compute, steps = np.random.default_rng(seed), 0, 0.0, list[Step]()
    seeds = {
        row.candidate.fingerprint: int(generator.integers(len(row.trainings))) for row in table.rows
    }
    given: dict[str, Row] = {}
    while (epochs is None or spent < epochs) and not enough(steps):
        asked = policy.ask()
        if asked is None or not (untried or policy.repeats()):
            break
        row = given[asked.fingerprint] if policy.repeats() else untried.take(asked)
        given[asked.fingerprint] = row
        policy.begin(row)
        training = row.trainings[seeds[row.candidate.fingerprint]]
        state, used = _train(policy, training, table.epochs)
        spent += used
        compute += used * table.price(row.candidate)
        steps.append(Step(row=row, training=training, state=state, epochs=spent, compute=compute))
    return steps


def _train(policy: Policy, training: Training, epochs: int) -> tuple[TrialState, int]:
    """Tell a training to a policy; return what became of it and the epochs it took."""
    if training.score is None:
        policy.tell(Answer(state=TrialState.FAILED))
        return TrialState.FAILED, epochs
    for epoch, score in enumerate(training.curve, start=1):
        if epoch < len(training.curve) and not policy.goes_on(epoch, score):
            policy.tell(Answer(state=TrialState.STOPPED))
            return TrialState.STOPPED, epoch
    policy.tell(Answer(state=TrialState.COMPLETE, score=training.score))
    return TrialState.COMPLETE, len(training.curve)
