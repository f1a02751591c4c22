"""The sampler draws a method, then that method's parameters together, from what it has seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
import pytest

from autopeft.search.by_method import ByMethodSampler


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"])


def asked(study: optuna.Study, seed: int, *, startup: int = 10) -> dict[str, object]:
    """Ask for a method and its parameters and return them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = ByMethodSampler(seed=seed, startup=startup)
    trial = study.ask()
    if trial.suggest_categorical("method", ["lora", "prefix"]) == "lora":
        trial.suggest_int("lora.r", 1, 64, log=True)
        trial.suggest_float("lora.rate", 1e-4, 1e-2, log=True)
    else:
        trial.suggest_int("prefix.tokens", 1, 50, log=True)
    return trial.params


def asked_and_left(study: optuna.Study, seed: int) -> dict[str, object]:
    """Ask, and leave no trace for the next question."""
    params = asked(study, seed)
    study.tell(len(study.trials) - 1, state=optuna.trial.TrialState.FAIL)
    return params


def fill(study: optuna.Study, score: Callable[[dict[str, object]], float], trials: int) -> None:
    for seed in range(trials):
        params = asked(study, seed, startup=trials)
        study.tell(len(study.trials) - 1, [score(params), 3.0])


def test_only_the_chosen_method_has_parameters(study: optuna.Study) -> None:
    fill(study, lambda params: 0.5, 20)
    for seed in range(20):
        params = asked(study, seed)
        assert {name.partition(".")[0] for name in params} == {"method", params["method"]}
        relative = study.trials[-1].system_attrs
        assert not any("prefix." in str(v) and "lora." in str(v) for v in relative.values())


def test_parameters_that_depend_on_each_other_are_drawn_together(study: optuna.Study) -> None:
    """A large rank wants a small rate, a small rank a large one: apart, both look all the same."""

    def score(params: dict[str, object]) -> float:
        if params["method"] == "prefix":
            return 0.0
        large, fast = params["lora.r"] > 8, params["lora.rate"] > 1e-3  # type: ignore[operator]
        return 1.0 if large != fast else 0.0

    fill(study, score, 80)
    found = [score(asked_and_left(study, seed)) for seed in range(40)]
    assert sum(found) > 26, "apart, half of them at most"


def test_the_same_seed_draws_the_same(study: optuna.Study) -> None:
    fill(study, lambda params: 0.5, 20)
    one, again, other = (asked_and_left(study, seed) for seed in (5, 5, 6))
    assert one == again != other


def test_draws_are_random_before_there_is_anything_to_learn(study: optuna.Study) -> None:
    fill(study, lambda params: float(params["method"] == "lora"), 9)
    methods = {asked(study, seed)["method"] for seed in range(20)}
    assert methods == {"lora", "prefix"}
