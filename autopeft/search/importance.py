"""What mattered for the score: the importance of method, rank, placement and learning rate.

Paper: Hutter et al. (2014), An Efficient Approach for Assessing Hyperparameter Importance (fANOVA):
a random forest is fitted to the scores, and its variance divided among the settings. Knobs differ
from method to method, so trials are told apart by settings that all of them have. Trials are
compared at the highest rung that enough of them reached: after the same share of the training,
stopped ones included.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autopeft.records import Candidate, TrialRecord, TrialState

LEAST_TRIALS = 20
"""With fewer the forest explains noise."""

MOST_TRIALS = 200
"""More are sampled: the forest's time grows with them, what it says hardly changes."""

_REPEATS, _TREES, _DEPTH = 3, 24, 12
_NONE = "none"
_RANKS = ("r", "rank", "width", "size", "tokens", "length")

Shares = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What can be said.

    Args:
        shares: by setting, mean and standard deviation over repeats; empty if nothing can be said.
        trials: how many were compared.
        trained: after which share of their training.
        note: why nothing can be said; else how it was computed.
    """

    shares: Shares
    trials: int
    trained: float
    note: str


def importance(records: Sequence[TrialRecord], *, seed: int = 0) -> Found:
    """Return how much each setting mattered, or why that cannot be said."""
    measured = _at_one_rung(records)
    if len(measured) < LEAST_TRIALS:
        note = (
            f"{len(measured)} trials with a score are too few to tell what mattered; "
            f"it takes {LEAST_TRIALS} that were trained equally long."
        )
        return Found(shares={}, trials=len(measured), trained=1.0, note=note)
    trained = measured[0][1]
    scores = [score for _, _, score in measured]
    if statistics.pstdev(scores) == 0.0:
        note = f"All {len(measured)} trials score the same, so nothing mattered."
        return Found(shares={}, trials=len(measured), trained=trained, note=note)
    step = -(-len(measured) // MOST_TRIALS)
    chosen = measured[::step]
    rows = [_settings(record.candidate) for record, _, _ in chosen]
    repeats = [_fanova(rows, scores[::step], seed + shift) for shift in range(_REPEATS)]
    shares = {
        name: (
            statistics.fmean(r[name] for r in repeats),
            statistics.stdev(r[name] for r in repeats),
        )
        for name in repeats[0]
    }
    sampled = f" (a sample of {len(measured)})" if step > 1 else ""
    note = (
        f"fANOVA over {len(chosen)} trials{sampled} by their score after {trained:.0%} of the "
        "training. The search looks where scores are good, so what it hardly varied seems to "
        "matter little."
    )
    return Found(shares=shares, trials=len(chosen), trained=trained, note=note)


def _at_one_rung(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float, float]]:
    """Return trial, share and score at the highest rung that enough trials reached."""
    scored = [r for r in records if r.state is not TrialState.FAILED]
    by_share: dict[float, list[tuple[TrialRecord, float, float]]] = {}
    for record in scored:
        for point in record.curve:
            if math.isfinite(point.score):
                share = round(point.share, 2)
                by_share.setdefault(share, []).append((record, share, point.score))
    enough = [share for share, found in by_share.items() if len(found) >= LEAST_TRIALS]
    if enough:
        return by_share[max(enough)]
    return max(by_share.values(), key=len, default=[])


def _settings(candidate: Candidate) -> dict[str, str | float]:
    """Return what every candidate has; a learning rate as its power of ten."""
    placement = candidate.placement
    rank = next((candidate.knobs[name] for name in _RANKS if name in candidate.knobs), None)
    return {
        "method": candidate.method,
        "rank": _NONE if rank is None else str(rank),
        "sites": _NONE if placement is None else ",".join(placement.sites),
        "layers": _NONE if placement is None else placement.layers,
        "learning rate": math.log10(candidate.learning_rate),
        "epochs": float(candidate.epochs),
    }


def _fanova(
    rows: Sequence[Mapping[str, str | float]], scores: Sequence[float], seed: int
) -> dict[str, float]:
    """Return the importance of each setting that differs; they add up to 1."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    distributions = {}
    for name in rows[0]:
        values = sorted({row[name] for row in rows}, key=str)
        if len(values) < 2:
            continue
        if all(isinstance(value, float) for value in values):
            numbers = [float(value) for value in values]
            distributions[name] = optuna.distributions.FloatDistribution(min(numbers), max(numbers))
        else:
            distributions[name] = optuna.distributions.CategoricalDistribution(values)
    if not distributions:
        return {}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in distributions},
                distributions=distributions,
                value=score,
            )
            for row, score in zip(rows, scores, strict=True)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=seed)
    found: dict[str, float] = get_param_importances(study, evaluator=evaluator)
    return found
