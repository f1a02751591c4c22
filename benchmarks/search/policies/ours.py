"""autopeft's search itself, with and without what can be learnt on other tasks."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from autopeft.records import Candidate, Cause, Costs, RungPoint, TrialRecord, TrialState
from autopeft.search.compare import Compare, SecondChances, goes_on, second_chances
from autopeft.search.portfolio import fitted, hand_made, portfolio
from autopeft.search.space import Space
from autopeft.search.study import Guided, Proposal, Search, unguided
from autopeft.search.thrift import Price
from autopeft.store import TrialStore
from benchmarks.search.policies.curves import both, likely
from benchmarks.search.policies.earlier import best_of_earlier
from benchmarks.search.policies.gates import Guide, with_mixture
from benchmarks.search.policies.learned import Knowledge, with_rates, with_sizes
from benchmarks.search.policies.surrogate import Surrogate
from benchmarks.search.recorded import Row, Table
from benchmarks.search.replay import Answer


class SearchPolicy:
    """`autopeft.search.Search` through its public methods, over a study in memory.

    Args:
        table: gives the metric's direction and the number of epochs.
        space: what it may propose.
        seed: of the search.
        rungs: epochs after which trainings are compared, the last one included.
        compare: says at a rung whether a training goes on.
        first: the portfolio; None for one default per family, and not what is shipped: that may
            have been learnt on the very task.
        guide: what is tried after that.
        second: says what was stopped and is begun again.
        price: by which suggestions are thinned.
    """

    def __init__(
        self,
        table: Table,
        space: Space,
        seed: int,
        *,
        rungs: tuple[int, ...],
        compare: Compare = goes_on,
        first: Sequence[Candidate] | None = None,
        guide: Guided = unguided,
        second: SecondChances = second_chances,
        price: Price | None = None,
    ) -> None:
        higher = table.higher_is_better
        study = optuna.create_study(directions=["maximize" if higher else "minimize", "minimize"])
        self.space, self._epochs, self._rungs = space, table.epochs, rungs
        self._search = Search(
            trials=TrialStore(study),
            space=space,
            higher_is_better=higher,
            seed=seed,
            rungs=tuple(epoch / table.epochs for epoch in rungs),
            first=list(hand_made(space)) if first is None else first,
            compare=compare,
            guide=guide,
            second=second,
            price=price,
        )

    def ask(self) -> Candidate | None:
        """Return the next proposal."""
        proposal = self._search.propose()
        if proposal is None:
            return None
        self._proposal: Proposal = proposal
        return proposal.candidate

    def repeats(self) -> bool:
        """Return whether the proposal is a second chance."""
        return self._search.trials.has_second_chance(self._proposal.number)

    def begin(self, row: Row) -> None:
        """Keep the size of what is really trained: it is what rungs compare."""
        self._row = row
        trials, number = self._search.trials, self._proposal.number
        proposal = trials.all()[number].user_attrs["proposal"]
        trials.note(number, "proposal", {**proposal, "trainable_params": row.trainable_params})

    def goes_on(self, epoch: int, score: float) -> bool:
        """Report at a rung."""
        if epoch not in self._rungs:
            return True
        point = RungPoint(
            rung=self._rungs.index(epoch),
            share=epoch / self._epochs,
            score=score,
            wall_seconds=float(epoch),
        )
        return bool(self._search.rung({self._proposal.number: point}))

    def tell(self, answer: Answer) -> None:
        """Report the end."""
        failed = answer.state is TrialState.FAILED
        self._search.finished(
            TrialRecord(
                number=self._proposal.number,
                candidate=self._row.candidate,
                seed=self._proposal.seed,
                state=answer.state,
                origin=self._proposal.origin,
                costs=Costs(trainable_params=self._row.trainable_params),
                score=answer.score,
                cause=Cause.NON_FINITE if failed else None,
                message="recorded as failed" if failed else "",
            )
        )


def plain(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Knowing nothing of other tasks."""
    return _policy(table, seed)


def without_rungs(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Train all to the end."""
    space = table.space
    return SearchPolicy(table, space, seed, rungs=(table.epochs,))


def without_second_chances(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """What was stopped stays so."""
    return SearchPolicy(table, table.space, seed, rungs=table.rungs, second=lambda *_: ())


def with_curves(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Stop what is unlikely to end on the front."""
    return _policy(table, seed, compare=likely)


def with_rungs_and_curves(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Stop also that."""
    return _policy(table, seed, compare=both)


def with_thrift(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Try cheap candidates more often than dear ones."""
    return _policy(table, seed, price=table.price)


def with_gates(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by the gates of a mixture."""
    return _guided(table, seed, Guide(table))


def with_shuffled_gates(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by gates that say nothing."""
    return _guided(table, seed, Guide(table, shuffled=seed))


def with_portfolio(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """With a learnt portfolio."""
    return _policy(table, seed, first=portfolio(table.space, seen=knowledge.seen))


def with_rates_learnt(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """With learnt priors of learning rates."""
    return _policy(table, seed, space=with_rates(table.space, knowledge.rates))


def with_sizes_learnt(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """With learnt ranges of ranks, widths and tokens."""
    return _policy(table, seed, space=with_sizes(table.space, knowledge.sizes))


def with_surrogate(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by a surrogate from the references on."""
    guide = Surrogate(table.space, table.higher_is_better, seed)
    return _policy(table, seed, first=(), guide=guide)


def with_portfolio_and_surrogate(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by a surrogate after a learnt portfolio."""
    guide = Surrogate(table.space, table.higher_is_better, seed)
    return _policy(table, seed, first=portfolio(table.space, seen=knowledge.seen), guide=guide)


def with_transfer(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by a surrogate that starts from what other tasks say."""
    guide = Surrogate(table.space, table.higher_is_better, seed, knowledge.trend)
    return _policy(table, seed, first=(), guide=guide)


def with_others(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Guided by the same surrogate among what was recorded on other tasks."""
    among = list(fitted([one.candidate for one in knowledge.seen], table.space))
    guide = Surrogate(table.space, table.higher_is_better, seed, knowledge.trend, among)
    return _policy(table, seed, first=(), guide=guide)


def in_default_space(table: Table, _knowledge: Knowledge, seed: int) -> SearchPolicy:
    """Propose only what the default space has."""
    space = table.default_space
    return _policy(table, seed, space=space, first=list(hand_made(space)))


def as_shipped(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """The same with the portfolio that follows from other tasks."""
    space = table.default_space
    return _policy(table, seed, space=space, first=portfolio(space, seen=knowledge.seen))


def with_both(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """With both."""
    space = with_rates(table.space, knowledge.rates)
    return _policy(table, seed, space=space, first=portfolio(space, seen=knowledge.seen))


def with_earlier_runs(table: Table, knowledge: Knowledge, seed: int) -> SearchPolicy:
    """With what did best in earlier runs, one on each other task."""
    first = [*best_of_earlier(knowledge.tables, seed), *hand_made(table.space)]
    return _policy(table, seed, first=first)


def _guided(table: Table, seed: int, guide: Guide) -> SearchPolicy:
    first = with_mixture(table.space)
    return _policy(table, seed, first=first, compare=guide.goes_on, guide=guide)


def _policy(
    table: Table,
    seed: int,
    *,
    space: Space | None = None,
    first: Sequence[Candidate] | None = None,
    compare: Compare = goes_on,
    guide: Guided = unguided,
    price: Price | None = None,
) -> SearchPolicy:
    space = table.space if space is None else space
    if first is not None:
        first = list(fitted(first, space))
    return SearchPolicy(
        table,
        space,
        seed,
        rungs=table.rungs,
        first=first,
        compare=compare,
        guide=guide,
        price=price,
    )
