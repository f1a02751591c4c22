"""Cohorts: where they end, and how they fall into packs."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import pytest

from autopeft.api.cohort import Cohorts
from autopeft.methods.packing import PackKey, pack_key
from autopeft.records import Candidate
from autopeft.search.convergence import COHORT
from autopeft.search.load import load_space
from autopeft.search.portfolio import DEFAULT_METHOD, HEAD_METHOD, hand_made
from autopeft.search.study import Proposal, Search
from autopeft.store import TrialStore
from tests.search.made_up import backbone, evaluate


def search_of(max_trials: int | None = None) -> Search:
    space = load_space("quick").restrict(shape=backbone())
    return Search(
        trials=TrialStore(optuna.create_study(directions=["maximize", "minimize"])),
        space=space,
        higher_is_better=True,
        max_trials=max_trials,
        first=list(hand_made(space)),
    )


def key(candidate: Candidate) -> PackKey | None:
    return pack_key(candidate, backbone())


def cohorts(search: Search, most: int = 99) -> Cohorts:
    def fits(candidates: Sequence[Candidate]) -> bool:
        return len(candidates) <= most

    return Cohorts(search, key, fits)


def all_packs(made: Cohorts, search: Search, size: int) -> list[list[Proposal]]:
    packs = []
    while pack := made.pack(size):
        for proposal in pack:
            evaluate(search, proposal)
        packs.append(pack)
    return packs


def test_every_proposal_is_in_one_pack_of_its_own_key() -> None:
    search = search_of(max_trials=19)
    packs = all_packs(cohorts(search), search, 4)
    numbers = [proposal.number for pack in packs for proposal in pack]
    assert len(numbers) == len(set(numbers)) == 19
    for pack in packs:
        keys = {key(proposal.candidate) for proposal in pack}
        assert len(keys) == 1
        assert len(pack) <= (1 if keys == {None} else 4)
    assert max(map(len, packs)) == 4


def test_the_head_alone_comes_first_and_the_default_is_trial_0() -> None:
    search = search_of()
    made = cohorts(search)
    (first,), then = made.pack(4), made.pack(4)
    assert (first.number, first.candidate.method) == (1, HEAD_METHOD)
    assert (then[0].number, then[0].candidate.method) == (0, DEFAULT_METHOD)


def test_a_cohort_is_asked_only_when_the_one_before_is_handed_out() -> None:
    search = search_of()
    made = cohorts(search)
    seen = 0
    while seen < 3 * COHORT:
        pack = made.pack(3)
        seen += len(pack)
        assert search.proposed % COHORT == 0
        assert seen <= search.proposed < seen + COHORT
        for proposal in pack:
            evaluate(search, proposal)


def test_second_chances_share_cohorts_with_new_proposals() -> None:
    """They come on top of a cohort, which still ends at its number of proposals."""
    search = search_of(max_trials=10 * COHORT)
    made = cohorts(search)
    second, together = 0, 0
    while pack := made.pack(COHORT):
        assert search.proposed % COHORT == 0
        given = [search.trials.has_second_chance(proposal.number) for proposal in pack]
        second += sum(given)
        together += any(given) and not all(given)
        for proposal in pack:
            evaluate(search, proposal)
    assert second == len(search.trials.superseded()) > 0
    assert together > 0
    assert len(search.trials.records()) == 10 * COHORT


def test_a_resumed_run_asks_the_same_cohorts() -> None:
    """Those who were handed out and not trained come first, and alone, up to the cohort's end."""

    def run(resumed_at: int | None) -> list[str]:
        search = search_of(max_trials=6 * COHORT)
        made, handed = cohorts(search), 0
        while pack := made.pack(3):
            for proposal in pack:
                if handed == resumed_at:
                    search = Search(
                        trials=TrialStore(search.trials.study),
                        space=search.space,
                        higher_is_better=True,
                        max_trials=6 * COHORT,
                        first=list(hand_made(search.space)),
                    )
                    made, handed = cohorts(search), handed + 1
                    break
                handed += 1
                evaluate(search, proposal)
        records = search.trials.records()
        return sorted(f"{r.candidate.fingerprint} {r.state.value}" for r in records)

    whole = run(None)
    assert all(run(at) == whole for at in (9, 17, 30, 41))


def test_packs_of_one_know_all_before_them() -> None:
    search = search_of(max_trials=12)
    made = cohorts(search)
    for number in range(12):
        (proposal,) = made.pack(1)
        assert search.proposed == number + 1
        evaluate(search, proposal)
    assert made.pack(1) == []


def test_what_does_not_fit_in_memory_together_waits() -> None:
    search = search_of(max_trials=8)
    assert max(map(len, all_packs(cohorts(search, most=2), search, 8))) == 2


def test_what_nobody_will_train_is_taken_back() -> None:
    search = search_of()
    made = cohorts(search)
    pack = made.pack(2)
    for proposal in pack:
        evaluate(search, proposal)
    made.give_up()
    assert search.proposed == len(search.trials.records()) == len(pack)
    states = {trial.state.name for trial in search.trials.all()}
    assert not states & {"RUNNING", "WAITING"}
    again = made.pack(2)
    assert again
    assert not {p.number for p in again} & {p.number for p in pack}


@pytest.mark.parametrize("method", ["full", "partial"])
def test_what_trains_elsewhere_goes_alone(method: str) -> None:
    candidate = Candidate(method=method, learning_rate=1e-3, epochs=1)
    assert key(candidate) is None
