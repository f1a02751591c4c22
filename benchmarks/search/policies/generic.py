"""Optuna's samplers and pruners as they come, told of score and size after every training."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.trial import TrialState as OptunaState

from autopeft.records import Candidate, TrialState
from autopeft.search.space import Space
from benchmarks.search.policies.flat import suggest_flat
from benchmarks.search.policies.learned import Knowledge
from benchmarks.search.recorded import Row, Table
from benchmarks.search.replay import Answer
from benchmarks.search.summary import HEADLINE

optuna.logging.set_verbosity(optuna.logging.WARNING)

Suggest = Callable[[Space, optuna.Trial], Candidate]

REDUCTION = 3
"""ASHA's: one in this many goes on, as in ours; compared after epochs 1 and 3."""

POPULATION = 20
"""NSGA-II's: Optuna's 50 would leave a table of 150 rows three generations."""

_STUCK, _TRIES = 20, 100
"""Suggestions in a row that cannot be trained until a random one is taken, and until none is.

A sampler may suggest the same for ever, as the Gaussian process does: it forgets what failed.
"""


def suggest_conditional(space: Space, trial: optuna.Trial) -> Candidate:
    """Ask a trial for a candidate, parameter by parameter of its method."""
    return space.suggest(trial)


class OptunaPolicy:
    """A sampler, and if wished a pruner.

    Optuna's pruners judge studies of one objective alone, so a second study of the scores does the
    pruning; the sampler hears that a training was pruned.

    Args:
        table: gives the space and the metric's direction.
        sampler: suggests.
        suggest: how a candidate is described to it.
        pruner: stops trainings; None trains all to their end.
    """

    def __init__(
        self,
        table: Table,
        sampler: optuna.samplers.BaseSampler,
        *,
        suggest: Suggest = suggest_conditional,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        direction = "maximize" if table.higher_is_better else "minimize"
        self._space = table.space
        self._suggest, self._pruner = suggest, pruner
        self._sampler, self._random = sampler, optuna.samplers.RandomSampler(seed=0)
        self.study = optuna.create_study(directions=[direction, "minimize"], sampler=sampler)
        self._scores = optuna.create_study(
            direction=direction,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=pruner or optuna.pruners.NopPruner(),
        )

    def ask(self) -> Candidate | None:
        """Return the next suggestion that can be trained at all."""
        for attempt in range(_TRIES):
            self.study.sampler = self._sampler if attempt < _STUCK else self._random
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._trial = self.study.ask()
                candidate = self._suggest(self._space, self._trial)
            if self._space.infeasible(candidate) is None:
                return candidate
            self.study.tell(self._trial, state=OptunaState.FAIL)
        return None

    def repeats(self) -> bool:
        """Return False: what a pruner stopped stays so."""
        return False

    def begin(self, row: Row) -> None:
        """Hear which row is trained: its size is what the suggestion is told to have."""
        self._row, self._watched = row, self._scores.ask()

    def goes_on(self, epoch: int, score: float) -> bool:
        """Ask the pruner."""
        self._watched.report(score, epoch)
        return not self._watched.should_prune()

    def tell(self, answer: Answer) -> None:
        """Tell both studies."""
        if answer.state is TrialState.COMPLETE:
            assert answer.score is not None
            self.study.tell(self._trial, [answer.score, self._row.size])
            self._scores.tell(self._watched, answer.score)
            return
        failed = answer.state is TrialState.FAILED
        for study, trial in ((self.study, self._trial), (self._scores, self._watched)):
            study.tell(trial, state=OptunaState.FAIL if failed else OptunaState.PRUNED)


def random(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Draw at random."""
    return OptunaPolicy(table, optuna.samplers.RandomSampler(seed=seed))


def random_asha(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Draw at random and stop early."""
    return OptunaPolicy(table, optuna.samplers.RandomSampler(seed=seed), pruner=_asha())


def tpe(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Tree-structured Parzen estimator."""
    return OptunaPolicy(table, _tpe(seed))


def tpe_asha(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Tree-structured Parzen estimator; stop early."""
    return OptunaPolicy(table, _tpe(seed), pruner=_asha())


def nsga2(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Evolve a population."""
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    return OptunaPolicy(table, sampler, suggest=suggest_flat)


def gp(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Gaussian process."""
    return OptunaPolicy(table, _gp(seed, startup=10), suggest=suggest_flat)


def autopeft_paper(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Half at random, then a Gaussian process; after Zhou et al. (2024), AutoPEFT.

    Theirs has a sparse prior (SAAS) and noisy expected hypervolume improvement, of 200 trainings
    100 at random; Optuna's process has neither, so this is their recipe, not their program. Half of
    what the headline's budget pays for is drawn at random.
    """
    startup = int(HEADLINE) // table.epochs // 2
    return OptunaPolicy(table, _gp(seed, startup=startup), suggest=suggest_flat)


def _tpe(seed: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


def _gp(seed: int, *, startup: int) -> optuna.samplers.GPSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)


def _asha() -> optuna.pruners.SuccessiveHalvingPruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
