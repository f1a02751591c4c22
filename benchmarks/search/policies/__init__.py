"""The searches that are compared, each built from a table's space, a metric's direction and a seed.

The generic ones are Optuna's samplers and pruners as they come. All of them minimise
``log10(1 + trained parameters)`` beside the score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.search.policies import generic, ours
from benchmarks.search.policies.foreknown import Foreknown
from benchmarks.search.policies.learned import Knowledge
from benchmarks.search.recorded import Table
from benchmarks.search.replay import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A policy in the comparison.

    Args:
        about: one phrase.
        make: from a table, what was learnt on the other tasks, and a seed.
        learns: whether it uses what was learnt on other tasks.
        version: raised when its replays change: lines of an earlier one, or of none, do not count.
    """

    about: str
    make: Callable[[Table, Knowledge, int], Policy]
    learns: bool = False
    version: int = 1


ENTRANTS: Mapping[str, Entrant] = {
    "random": Entrant(about="draws at random", make=generic.random),
    "tpe": Entrant(about="multi-objective TPE (Ozaki et al., 2022)", make=generic.tpe),
    "nsga2": Entrant(about="NSGA-II (Deb et al., 2002)", make=generic.nsga2),
    "gp": Entrant(about="Gaussian process, expected hypervolume gain", make=generic.gp),
    "random:default": Entrant(
        about="random, in the default space", make=generic.random_in_default_space
    ),
    "tpe:default": Entrant(about="TPE, in the default space", make=generic.tpe_in_default_space),
    "nsga2:default": Entrant(
        about="NSGA-II, in the default space", make=generic.nsga2_in_default_space
    ),
    "random+asha": Entrant(
        about="random, stopped by ASHA (Li et al., 2020) where ours compares",
        make=generic.random_asha,
        version=2,
    ),
    "tpe+asha": Entrant(
        about="TPE, stopped by ASHA on the score where ours compares",
        make=generic.tpe_asha,
        version=2,
    ),
    "autopeft-paper": Entrant(
        about="half at random, then a Gaussian process, none stopped (after Zhou et al., 2024)",
        make=generic.autopeft_paper,
    ),
    "ours": Entrant(about="autopeft's search, told nothing of other tasks", make=ours.plain),
    "ours-rungs": Entrant(about="ours, none stopped", make=ours.without_rungs),
    "ours-chances": Entrant(
        about="ours, what was stopped is never begun again",
        make=ours.without_second_chances,
    ),
    "ours:curves": Entrant(
        about="ours, stopping by predicted ends of curves in place of ranks; the curves it expects "
        "are from subj and tweet_emotion",
        make=ours.with_curves,
    ),
    "ours+curves": Entrant(
        about="ours, stopping by ranks and by predicted ends of curves; expects the same",
        make=ours.with_rungs_and_curves,
    ),
    "ours+thrift": Entrant(
        about="ours, what takes n times as long is tried once in n times", make=ours.with_thrift
    ),
    "ours+gates": Entrant(about="ours, guided by the gates of a mixture", make=ours.with_gates),
    "ours+shuffled": Entrant(
        about="the same with the gates shuffled: what its proposals are worth without them",
        make=ours.with_shuffled_gates,
    ),
    "ours+portfolio": Entrant(
        about="ours, its portfolio in turns with what covers most on the other tasks",
        make=ours.with_portfolio,
        learns=True,
    ),
    "ours:default": Entrant(
        about="ours, proposing only what the default space has",
        make=ours.in_default_space,
        version=2,
    ),
    "ours:shipped": Entrant(
        about="the same with the portfolio: what the program does unless told otherwise",
        make=ours.as_shipped,
        learns=True,
        version=2,
    ),
    "ours+surrogate": Entrant(
        about="ours, after the references what should add most area by a Gaussian process",
        make=ours.with_surrogate,
    ),
    "ours+transfer": Entrant(
        about="the same process started from the gains on the other tasks",
        make=ours.with_transfer,
        learns=True,
    ),
    "ours+portfolio+surrogate": Entrant(
        about="the process after a portfolio learnt on the other tasks",
        make=ours.with_portfolio_and_surrogate,
        learns=True,
    ),
    "ours+others": Entrant(
        about="the same process among the candidates that were recorded on the other tasks",
        make=ours.with_others,
        learns=True,
    ),
    "ours+rates": Entrant(
        about="ours with learning-rate priors learnt on the other tasks",
        make=ours.with_rates_learnt,
        learns=True,
    ),
    "ours+sizes": Entrant(
        about="ours with ranges of ranks, widths and tokens learnt on the other tasks",
        make=ours.with_sizes_learnt,
        learns=True,
    ),
    "ours+earlier": Entrant(
        about="ours after earlier runs, one on each other task, as `--learn-from` has them",
        make=ours.with_earlier_runs,
        learns=True,
    ),
    "ours+both": Entrant(
        about="ours with portfolio and learning-rate priors learnt on the other tasks",
        make=ours.with_both,
        learns=True,
    ),
    "foreknown": Entrant(
        about="no search: told beforehand what every candidate scores under one seed",
        make=lambda table, _knowledge, seed: Foreknown(table, seed),
    ),
}
