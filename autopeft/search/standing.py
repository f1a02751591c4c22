"""The finalists side by side: how far behind, how sure, who is tied, who can be told apart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from autopeft.search.bootstrap import (
    Replicate,
    best_shares,
    on_folds,
    standard_error,
    tied_shares,
    usable,
)
from autopeft.search.finalist import Finalist, Row
from autopeft.search.front import gain
from autopeft.search.paired import chance, corrected

Tolerance = Callable[[float], float]
"""From a standard error, how far below the best a candidate may be."""

_ROUNDING = 1e-12


def ranked(
    measured: Sequence[Finalist],
    gains: np.ndarray,
    higher_is_better: bool,
    allowed: Tolerance,
    floor: float | None,
) -> tuple[Row, ...]:
    """Return a row per finalist, the best first; none is compared with a chosen one yet.

    Args:
        measured: the finalists, each with a usable replicate, at least one of them eligible.
        gains: (k, B) draws of their true scores, higher is better.
        higher_is_better: the metric's direction.
        allowed: how far below the best a candidate may be.
        floor: score of a model that learnt nothing; None if it is not known.
    """
    scores = [[r.score for r in usable(c.replicates)] for c in measured]
    means = [gain(statistics.fmean(of_seeds), higher_is_better) for of_seeds in scores]
    ranking = sorted(range(len(measured)), key=lambda i: (-means[i], *order(measured[i])))
    rivals = [i for i in ranking if measured[i].eligible]
    best = rivals[0]

    def near(reference: int, other: int) -> bool:
        behind = means[reference] - means[other]
        return behind <= allowed(standard_error(gains[reference], gains[other])) + _ROUNDING

    def admissible(i: int) -> bool:
        if i == best:
            return True
        references = [j for j, c in enumerate(measured) if c.origin == "default"]
        heads = [means[j] for j, c in enumerate(measured) if c.origin == "head" and j != i]
        learnt = [*heads, *([] if floor is None else [gain(floor, higher_is_better)])]
        return (
            measured[i].eligible
            and all(means[i] > level for level in learnt)
            and all(near(j, i) for j in (best, *references))
        )

    def margin(i: int) -> float:
        rival = next((j for j in rivals if j != i), i)
        return allowed(standard_error(gains[rival], gains[i]))

    shares = best_shares(gains)
    margins = np.array([margin(i) for i in range(len(measured))])
    ties = tied_shares(gains, margins, np.array([c.eligible for c in measured]))
    return tuple(
        Row(
            finalist=measured[i],
            mean=statistics.fmean(scores[i]),
            spread=statistics.stdev(scores[i]) if len(scores[i]) > 1 else None,
            behind=means[best] - means[i],
            standard_error=standard_error(gains[best], gains[i]),
            best_share=float(shares[i]),
            margin=float(margins[i]),
            tied_share=float(ties[i]),
            chance=1.0,
            admissible=admissible(i),
            seed=to_deliver(measured[i], higher_is_better).seed,
        )
        for i in ranking
    )


def compared(
    table: Sequence[Row], chosen: Row, measured: Sequence[Finalist], gains: np.ndarray
) -> tuple[Row, ...]:
    """Return the rows with the chance of their difference from the chosen one.

    Args:
        table: of all finalists.
        chosen: one of its rows.
        measured: the finalists in the order of `gains`.
        gains: (k, B) draws of their true scores.
    """
    place = {id(finalist): index for index, finalist in enumerate(measured)}
    others = [row for row in table if row is not chosen]
    ours = gains[place[id(chosen.finalist)]]
    errors = [standard_error(ours, gains[place[id(row.finalist)]]) for row in others]
    chances = corrected(
        [
            chance(row.behind - chosen.behind, error)
            for row, error in zip(others, errors, strict=True)
        ]
    )
    found = {id(row): of for row, of in zip(others, chances, strict=True)}
    return tuple(replace(row, chance=found.get(id(row), 1.0)) for row in table)


def order(finalist: Finalist) -> tuple[float, float, str]:
    """Return what to compare finalists by: trained parameters, then bytes, then the fingerprint.

    Nothing that is measured with a clock: the same run would end otherwise the next time.
    """
    size_bytes = finalist.artifact_bytes
    return (
        finalist.trainable_params,
        float("inf") if size_bytes is None else size_bytes,
        finalist.fingerprint,
    )


def to_deliver(finalist: Finalist, higher_is_better: bool) -> Replicate:
    """Return the replicate of the best score; of equal ones that of the lowest seed.

    On folds it is the one of median score, the lower of the two in the middle: there scores differ
    because their rows do.
    """
    ordered = sorted(
        usable(finalist.replicates), key=lambda r: (gain(r.score, higher_is_better), -r.seed)
    )
    return ordered[(len(ordered) - 1) // 2 if on_folds(ordered) else -1]
