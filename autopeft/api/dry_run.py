"""What a search would do: settings and prices, without training anything."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from autopeft.api.estimate import estimate_bytes, expected_seconds
from autopeft.api.opened import Opened
from autopeft.config import SearchConfig
from autopeft.records import Candidate
from autopeft.report.screen import Screen
from autopeft.search.portfolio import fitted, portfolio, references
from autopeft.search.space import Space
from autopeft.temporary import TemporaryFolder

SAMPLES, ATTEMPTS = 8, 100


def dry_run(
    data: Any, config: SearchConfig, screen: Screen
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return the resolved settings, and a row per reference, default and sampled candidate.

    The data is read and the backbone is loaded and measured, in a folder that is removed again.

    Raises:
        UsageError: as a search would.
        NoCandidateError: nothing is feasible within the budget.
    """
    with TemporaryFolder("dry-run") as folder:
        config = dataclasses.replace(config, output=folder.path / "run")
        with Opened(data, config, screen) as opened:
            about, space = opened.narrowed()
            settings = dataclasses.replace(opened.config, output=None).to_json()
            problem, earlier, seen = opened.prepared.problem, opened.earlier, opened.seen
    settings |= {"task": problem.task, "metric": problem.metric, "text": problem.columns.text}
    settings |= {"text_pair": problem.columns.text_pair, "label": problem.columns.label}
    found = {**references(space)}
    taught = list(fitted(earlier, space))
    found |= {f"earlier {number}": one for number, one in enumerate(taught)}
    first = portfolio(space, seen=seen)
    found |= {f"portfolio {number}": one for number, one in enumerate(first)}
    found |= {f"sample {number}": c for number, c in enumerate(_samples(space, config.seed))}
    rows = [_row(name, candidate, space, about) for name, candidate in found.items()]
    return settings, rows


def _row(name: str, candidate: Candidate, space: Space, about: dict[str, Any]) -> dict[str, object]:
    return {
        "name": name,
        "candidate": candidate.describe(),
        "trainable_params": space.count(candidate),
        "memory_gb": round(estimate_bytes(candidate, space, about) / 1e9, 2),
        "train_seconds": round(expected_seconds(candidate, about), 1),
    }


def _samples(space: Space, seed: int) -> list[Candidate]:
    """Return random candidates of the space; fewer where hardly any can be trained."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = (space.suggest(study.ask()) for _ in range(ATTEMPTS))
    possible = (candidate for candidate in drawn if space.infeasible(candidate) is None)
    return list(itertools.islice(possible, SAMPLES))
