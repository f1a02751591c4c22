"""What the choice is made from and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autopeft.records import REFERENCES
from autopeft.search.bootstrap import Replicate, on_folds


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A candidate that was trained with several seeds.

    Args:
        number: of its trial.
        label: one line for people.
        origin: of its trial; ``default`` and ``head`` are the references.
        trainable_params: without the head.
        fingerprint: of its candidate.
        replicates: one per seed.
        failures: a phrase for each further seed under which its training failed of itself.
        artifact_bytes: size of its adapter; None if it was not measured.
        eligible: whether it may be chosen; False for a reference that was not asked for.
        cut_short: whether the time limit ended one of its trainings early.
    """

    number: int
    label: str
    origin: str
    trainable_params: int
    fingerprint: str
    replicates: tuple[Replicate, ...]
    failures: tuple[str, ...] = ()
    artifact_bytes: int | None = None
    eligible: bool = True
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the choice knows of a finalist.

    Args:
        finalist: the finalist.
        mean: of the scores of its seeds.
        spread: their standard deviation; None if there is one seed.
        behind: Δ, how far the mean is behind the best, 0 for the best.
        standard_error: of Δ.
        best_share: share of the draws of the true scores in which it is the best.
        margin: how far below the best counts as tied with it.
        tied_share: share of the draws in which it is the best, or tied with it.
        chance: how often chance alone makes a difference as large as that from the chosen one, by a
            paired test, corrected for the number of finalists; 1 for the chosen.
        admissible: whether it is within the tolerance.
        seed: of the replicate that stands for it, see `standing.to_deliver`.
    """

    finalist: Finalist
    mean: float
    spread: float | None
    behind: float
    standard_error: float
    best_share: float
    margin: float
    tied_share: float
    chance: float
    admissible: bool
    seed: int

    @property
    def score(self) -> float:
        """On selection, of the replicate that stands for it; on folds the mean, as rows differ."""
        replicates = self.finalist.replicates
        if on_folds(replicates):
            return self.mean
        return next(one.score for one in replicates if one.seed == self.seed)


def beside(table: Sequence[Row], number: int) -> dict[str, Row]:
    """Return what is told beside the choice: ``runner-up``, and the references by their origin.

    Args:
        table: one row per finalist, the best first.
        number: of the chosen trial.
    """
    found: dict[str, Row] = {}
    for row in table:
        if row.finalist.number != number:
            origin = row.finalist.origin
            found.setdefault(origin if origin in REFERENCES else "runner-up", row)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The score that the delivered model is expected to have on new data of the same kind.

    Args:
        score: in the middle.
        low: of an interval that holds the true score in 95 of 100 cases.
        high: of that interval.
        optimism: by how much `Row.score` is too good for having been picked; positive whatever the
            metric's direction.
        tried: among how many.
    """

    score: float
    low: float
    high: float
    optimism: float
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is delivered, and why.

    Args:
        number: of the chosen trial.
        seed: of the replicate that is delivered: the chosen row's.
        table: one row per finalist, the best first.
        reason: for people.
        expected: score on new data.
    """

    number: int
    seed: int
    table: tuple[Row, ...]
    reason: str
    expected: Expected
