"""What a contender does, and what is noted of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One training, of one candidate or of a pack.

    Args:
        examples: trained on: rows times epochs times candidates.
        trained_params: of adapters and heads.
        recycle_seconds: until the states that leave the frozen layers were at hand: computed by the
            first training that needs them, opened by the later ones.
        train_seconds: of the training without evaluation.
        evaluation_seconds: of the evaluations on the selection split, one per epoch.
        whole_seconds: from a loaded data set to saved adapters.
        test_accuracy: of the first candidate; None if it was not asked for.
    """

    examples: int
    trained_params: int
    recycle_seconds: float = 0.0
    train_seconds: float
    evaluation_seconds: float
    whole_seconds: float
    test_accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


Contender = Callable[[int], Outcome]
"""Trains what it is there to train, with a seed."""

Runs = dict[str, list[Outcome]]
"""What came of each contender's turns."""


def take_turns(
    contenders: Mapping[str, Callable[[int], Result]], seeds: Iterable[int]
) -> dict[str, list[Result]]:
    """Let each contender train once per seed, with odd seeds in reverse order."""
    runs: dict[str, list[Result]] = {name: [] for name in contenders}
    for seed in seeds:
        for name in reversed(contenders) if seed % 2 else contenders:
            runs[name].append(contenders[name](seed))
    return runs


def require_equal(runs: Runs) -> None:
    """Raise unless every contender saw as many examples and trained as many parameters."""
    seen = {(run.examples, run.trained_params) for done in runs.values() for run in done}
    if len(seen) > 1:
        raise RuntimeError(f"the contenders did different work (examples, parameters): {seen}")


def _training(run: Outcome) -> float:
    return run.examples / (run.recycle_seconds + run.train_seconds)


def _with_evaluation(run: Outcome) -> float:
    return run.examples / (run.recycle_seconds + run.train_seconds + run.evaluation_seconds)


def _whole(run: Outcome) -> float:
    return run.examples / run.whole_seconds


RATES: Mapping[str, Callable[[Outcome], float]] = {
    "training": _training,
    "with_evaluation": _with_evaluation,
    "whole": _whole,
}
"""Examples per second, by the work whose time is counted."""
