"""The recipe of Zhou et al. (2024), AutoPEFT, as a habit around the Trainer.

Serial and parallel adapters and prefixes of eleven sizes in any layers; half of the time at
random, then multi-objective Bayesian optimisation of score and size; nothing is stopped. Theirs has
a sparse prior (SAAS) and noisy expected hypervolume improvement; Optuna's Gaussian process has
neither.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import torch

from autopeft.backbone.load import load_backbone
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.search.front import size
from autopeft.search.load import load_space
from autopeft.tasks import TASKS
from autopeft.train.session import Setting


class Paper:
    """The space and the sampler of AutoPEFT.

    Args:
        setting: names the backbone, the task and the classes.
    """

    prunes = False

    def __init__(self, setting: Setting) -> None:
        task = TASKS.get(setting.task)
        self._backbone = load_backbone(
            setting.model,
            auto_class=task.auto_class,
            model_options=task.model_options(setting.labels),
            dtype=torch.float32,
        )
        self._space = load_space("autopeft_paper").restrict(shape=self._backbone.shape)

    def study(self, seed: int) -> optuna.Study:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._later = optuna.samplers.GPSampler(seed=seed, n_startup_trials=1)
        self._random, self._stuck = optuna.samplers.RandomSampler(seed=seed), False
        return optuna.create_study(directions=["maximize", "minimize"], sampler=self._random)

    def sampler(self, study: optuna.Study, spent: float) -> optuna.samplers.BaseSampler:
        """Return the process in the second half, but for once where its last answer was no use."""
        del study
        return self._random if spent < 0.5 or self._stuck else self._later

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """Return what to train; where the suggestion has no part at all, the trial is pruned."""
        candidate = self._space.suggest(trial)
        self._stuck = self._space.infeasible(candidate) is not None
        if self._stuck:
            raise optuna.TrialPruned
        return candidate

    def build(self, candidate: Candidate, seed: int) -> Any:
        return adapt(self._backbone, candidate, seed=seed)

    def values(self, candidate: Candidate, score: float) -> tuple[float, float]:
        return score, size(self._space.count(candidate))
