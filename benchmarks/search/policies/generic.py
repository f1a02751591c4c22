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
"""ASHA's: one in this many goes on, as in ours."""

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
    pruning; the sampler hears that a training was pruned. The pruner is asked where ours compares
    trainings, at `Table.rungs`, so that both know as much: nowhere on so few rows that the first
    epochs are too short to tell.

    Args:
        table: gives the metric's direction and the rungs.
        sampler: suggests.
        space: what it may suggest; None for all that the table has.
        suggest: how a candidate is described to it.
        pruner: stops trainings; None trains all to their end.
    """

    def __init__(
        self,
        table: Table,
        sampler: optuna.samplers.BaseSampler,
        *,
        space: Space | None = None,
        suggest: Suggest = suggest_conditional,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        direction = "maximize" if table.higher_is_better else "minimize"
        self.space = table.space if space is None else space
        self._suggest, self._rungs = suggest, table.rungs if pruner else ()
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
                candidate = self._suggest(self.space, self._trial)
            if self.space.infeasible(candidate) is None:
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
        """Ask the pruner at a rung; its own rungs are powers of `REDUCTION`."""
        if epoch not in self._rungs:
            return True
        self._watched.report(score, REDUCTION ** self._rungs.index(epoch))
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


def random_in_default_space(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Draw at random from the default space."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return OptunaPolicy(table, sampler, space=table.default_space)


def random_asha(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Draw at random and stop early."""
    return OptunaPolicy(table, optuna.samplers.RandomSampler(seed=seed), pruner=_asha())


def tpe(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Tree-structured Parzen estimator."""
    return OptunaPolicy(table, _tpe(seed))


def tpe_in_default_space(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Tree-structured Parzen estimator in the default space."""
    return OptunaPolicy(table, _tpe(seed), space=table.default_space)


def tpe_asha(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Tree-structured Parzen estimator; stop early."""
    return OptunaPolicy(table, _tpe(seed), pruner=_asha())


def nsga2(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Evolve a population."""
    return OptunaPolicy(table, _nsga2(seed), suggest=suggest_flat)


def nsga2_in_default_space(table: Table, _knowledge: Knowledge, seed: int) -> OptunaPolicy:
    """Evolve a population in the default space."""
    return OptunaPolicy(table, _nsga2(seed), space=table.default_space, suggest=suggest_flat)


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


def _nsga2(seed: int) -> optuna.samplers.NSGAIISampler:
    return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)


def _gp(seed: int, *, startup: int) -> optuna.samplers.GPSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)


def _asha() -> optuna.pruners.SuccessiveHalvingPruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
