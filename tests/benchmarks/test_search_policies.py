"""Every policy of the comparison replays a table: reproducibly, and without asking for the same."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from autopeft.api.earlier import MOST
from autopeft.records import Candidate, TrialState
from autopeft.search.front import Point, fronts
from autopeft.search.portfolio import hand_made, portfolio, references
from benchmarks.search.hypervolume import Scale, growth
from benchmarks.search.policies import ENTRANTS
from benchmarks.search.policies.earlier import best_of_earlier
from benchmarks.search.policies.flat import suggest_flat
from benchmarks.search.policies.generic import OptunaPolicy
from benchmarks.search.policies.learned import Knowledge, learn, with_rates
from benchmarks.search.policies.ours import SearchPolicy
from benchmarks.search.recorded import Table
from benchmarks.search.replay import Step, replay
from benchmarks.table.candidates import table_space
from tests.benchmarks.made_up import BACKBONE, table

pytestmark = pytest.mark.slow

SPACE = table_space(BACKBONE)


@pytest.fixture(scope="module")
def made_up() -> Table:
    return table()


@pytest.fixture(scope="module")
def knowledge(made_up: Table) -> Knowledge:
    return learn([made_up])


def run(
    name: str, made: Table, knowledge: Knowledge, *, seed: int = 0, epochs: int | None = 60
) -> list[Step]:
    return replay(ENTRANTS[name].make(made, knowledge, seed), made, seed=seed, epochs=epochs)


def names(steps: list[Step]) -> list[str]:
    return [step.row.candidate.fingerprint for step in steps]


def told(steps: list[Step]) -> list[tuple[str, int, str, int]]:
    return [(s.row.candidate.fingerprint, s.training.seed, s.state.value, s.epochs) for s in steps]


@pytest.mark.parametrize("name", ENTRANTS)
def test_the_same_seed_searches_alike(name: str, made_up: Table, knowledge: Knowledge) -> None:
    epochs = 120 if ENTRANTS[name].learns else 60  # a portfolio is hardly ever stopped
    one, again, other = (
        run(name, made_up, knowledge, seed=seed, epochs=epochs) for seed in (3, 3, 4)
    )
    assert told(one) == told(again) != told(other)
    again = {name for name in names(one) if names(one).count(name) == 2}
    firsts = [s for s in one if s.row.candidate.fingerprint in again][: len(again)]
    assert len(set(names(one))) + len(again) == len(one) >= 12
    assert not again or (name.startswith("ours") and firsts[0].state is TrialState.STOPPED)
    stopped = any(step.state is TrialState.STOPPED for step in one)
    assert stopped == ("asha" in name or (name.startswith("ours") and name != "ours-rungs"))
    assert any(step.state is TrialState.COMPLETE for step in one)


def test_who_is_told_the_only_scores_trains_the_front_and_then_the_next() -> None:
    made = table(seeds=(0,))
    scale = Scale.of(made)
    steps = run("foreknown", made, Knowledge(), epochs=None)
    assert len(steps) == len(made.rows)
    points = [Point(gain=made.gain(row.score), size=row.size) for row in made.rows]
    front, second, *_ = fronts(points)
    assert {*names(steps)[: len(front)]} == {made.rows[i].candidate.fingerprint for i in front}
    both = names(steps)[len(front) : len(front) + len(second)]
    assert {*both} == {made.rows[i].candidate.fingerprint for i in second}
    shares = [share for _, share in growth(scale, steps)]
    steeper = [was - now for was, now in zip(np.diff(shares), np.diff(shares)[1:], strict=False)]
    assert min(steeper[: len(front) - 1]) >= -1e-9, "what adds most comes first"
    assert shares[len(front)] == pytest.approx(1)


@pytest.mark.parametrize("name", ["random", "tpe+asha", "ours"])
def test_failures_are_survived(name: str, knowledge: Knowledge) -> None:
    def scored(one: Candidate, params: int, seed: int) -> float | None:
        return None if one.method in ("lora", "ia3") or params > 10_000 else 0.7

    steps = run(name, table(scored), knowledge, epochs=100)
    assert {step.state for step in steps} >= {TrialState.FAILED, TrialState.COMPLETE}


@pytest.mark.parametrize("name", ["random:default", "nsga2:default", "ours:default"])
def test_in_the_default_space_a_search_ends_with_the_rows_of_its_methods(
    name: str, made_up: Table, knowledge: Knowledge
) -> None:
    steps = run(name, made_up, knowledge, epochs=None)
    default = table_space(BACKBONE, name="default")
    rows = {row.candidate.fingerprint: row.candidate.method for row in made_up.rows}
    own = {found for found, method in rows.items() if method in {*default.methods, "head_only"}}
    assert set(names(steps)) == own


@pytest.mark.parametrize("name", ["random+asha", "ours"])
@pytest.mark.parametrize(("train_rows", "compared"), [(300, set()), (1000, {2})])
def test_asha_compares_where_ours_does(
    name: str, train_rows: int, compared: set[int], knowledge: Knowledge
) -> None:
    steps = run(name, table(train_rows=train_rows), knowledge, epochs=150)
    spent = np.diff([0, *(step.epochs for step in steps)])
    stopped = [step.state is TrialState.STOPPED for step in steps]
    assert set(spent[stopped].tolist()) == compared


def test_random_search_is_given_the_whole_table(made_up: Table, knowledge: Knowledge) -> None:
    steps = run("random", made_up, knowledge, epochs=None)
    assert len(steps) == len(made_up.rows)
    assert steps[-1].epochs == made_up.epochs * len(made_up.rows)


def test_ours_begins_with_the_references_and_the_portfolio(
    made_up: Table, knowledge: Knowledge
) -> None:
    steps = run("ours+portfolio", made_up, knowledge)
    tried = [step.row.candidate for step in steps]
    assert tried[:2] == list(references(SPACE).values())
    first = [one for one in portfolio(SPACE, seen=knowledge.seen) if one not in tried[:2]]
    assert len(first) > len(list(hand_made(SPACE)))
    assert tried[2:] == first[: len(tried) - 2]


def test_ours_tries_the_best_of_earlier_runs_after_the_references(
    made_up: Table, knowledge: Knowledge
) -> None:
    tried = [step.row.candidate for step in run("ours+earlier", made_up, knowledge)]
    best = best_of_earlier(knowledge.tables, 0)
    assert 2 <= len(best) <= MOST
    first = list(references(SPACE).values())
    new = [one for one in best if one not in first]
    assert tried[: len(first) + len(new)] == [*first, *new]


def test_an_earlier_run_teaches_the_front_of_what_it_tried(made_up: Table) -> None:
    runs = [best_of_earlier([made_up], seed) for seed in range(5)]
    assert len({tuple(one.fingerprint for one in run) for run in runs}) > 1
    for found in runs:
        rows = [made_up.by_fingerprint[one.fingerprint] for one in found]
        scores = [made_up.gain(row.score) for row in rows]
        assert scores == sorted(scores, reverse=True)
        assert [row.size for row in rows] == sorted((row.size for row in rows), reverse=True)


def test_learnt_rates_move_where_ours_looks(made_up: Table) -> None:
    def steep(one: Candidate, params: int, seed: int) -> float:
        return 0.9 if one.learning_rate > 0.01 and one.method != "head_only" else 0.6

    learnt = learn([table(steep)])
    spaces = [SPACE, with_rates(SPACE, learnt.rates)]
    plain, moved = (SearchPolicy(made_up, s, 0, rungs=(5,), first=()) for s in spaces)
    steps = [replay(policy, made_up, seed=0, epochs=60) for policy in (plain, moved)]
    rates = [[np.log(s.row.candidate.learning_rate) for s in found] for found in steps]
    assert np.mean(rates[1]) > np.mean(rates[0])


@pytest.mark.parametrize("seed", range(3))
def test_flat_suggestions_are_in_the_space(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found = [suggest_flat(SPACE, study.ask()) for _ in range(100)]
    assert all(one in SPACE for one in found)
    assert len({one.method for one in found}) > 25
    assert len({one.placement.layers for one in found if one.placement}) > 3


def test_a_sampler_is_told_of_the_row_that_was_trained(made_up: Table) -> None:
    policy = OptunaPolicy(made_up, optuna.samplers.RandomSampler(seed=0))
    steps = replay(policy, made_up, seed=0, epochs=25)
    heard = [trial.values for trial in policy.study.trials]
    assert heard == [[step.training.score, pytest.approx(step.row.size)] for step in steps]


def test_a_pruner_hears_the_score_and_the_sampler_the_stop(made_up: Table) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.99)
    policy = OptunaPolicy(made_up, optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    steps = replay(policy, made_up, seed=0, epochs=10)
    assert {(step.state, step.epochs) for step in steps} == {
        (TrialState.STOPPED, 2 * (number + 1)) for number in range(5)
    }
    assert {trial.state for trial in policy.study.trials} == {optuna.trial.TrialState.PRUNED}
