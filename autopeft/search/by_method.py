"""TPE over a space of methods: first the method, then all parameters of that one together.

Optuna's own way with conditional parameters (``group=True``) draws those of every method at each
question and keeps one draw; with forty methods that is forty times the work. And it leaves all of
them with the running trial, where the next question of a cohort takes them for trials of every
method.

Paper: Bergstra et al. (2011) for TPE; Falkner et al. (2018), BOHB, for its multivariate form.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

METHOD = "method"


class ByMethodSampler(optuna.samplers.TPESampler):  # type: ignore[misc]
    """Draws for one trial; parameters are named ``method`` and ``<method>.<name>``.

    Args:
        seed: of the draws.
        startup: random draws until this many trials are finished.
    """

    def __init__(self, *, seed: int, startup: int) -> None:
        super().__init__(
            seed=seed,
            n_startup_trials=startup,
            multivariate=True,
            constant_liar=True,
        )
        self._drawn: dict[str, dict[str, Any]] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the choice of a method: all that is known before it is made."""
        del trial
        return _known(study, METHOD)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw the parameters of a method at the first of them; a new one is drawn by itself."""
        method, dot, _ = param_name.partition(".")
        if dot and method not in self._drawn:
            self._drawn[method] = self.sample_relative(study, trial, _known(study, f"{method}."))
        drawn = self._drawn.get(method, {})
        if param_name in drawn:
            return drawn[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


def _known(study: optuna.Study, start: str) -> dict[str, BaseDistribution]:
    """Return what the last finished trial that has parameters of that start had to choose from."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    for trial in reversed(study.get_trials(deepcopy=False, states=states)):
        found = {name: d for name, d in trial.distributions.items() if name.startswith(start)}
        if found:
            return {name: found[name] for name in sorted(found) if not found[name].single()}
    return {}
