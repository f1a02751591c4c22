"""The promises of the rule at a rung."""

from __future__ import annotations

import dataclasses
import math

from hypothesis import given
from hypothesis import strategies as st

from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.search.rungs import SHARES, Entry, again, decide, rungs_of, slow_starter

GAINS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]), st.just(-math.inf), st.just(math.nan)
)
ENTRIES = st.builds(
    Entry,
    gain=GAINS,
    size=st.integers(0, 12).map(lambda s: s / 2),
    family=st.sampled_from(["low-rank", "prompt", "scale"]),
    slow=st.booleans(),
)
OTHERS = st.lists(ENTRIES, max_size=25)
HEADS = st.one_of(st.none(), st.floats(0, 1))
RUNGS = st.integers(0, 2)


@given(ENTRIES, OTHERS, RUNGS)
def test_newcomer_that_dominates_everyone_goes_on(
    newcomer: Entry, others: list[Entry], rung: int
) -> None:
    known = [other.gain for other in others if math.isfinite(other.gain)]
    best = dataclasses.replace(
        newcomer,
        gain=max([0.5, *known]),
        size=min([newcomer.size, *(other.size for other in others)]),
    )
    assert decide(best, others, rung=rung, head=best.gain - 0.1)
    assert decide(best, others, rung=rung, head=None)


@given(ENTRIES, OTHERS, RUNGS, st.floats(0, 1))
def test_who_does_not_beat_the_head_stops_however_small(
    newcomer: Entry, others: list[Entry], rung: int, head: float
) -> None:
    spared = rung == 0 and newcomer.slow
    if not spared and not newcomer.gain > head:
        tiny = dataclasses.replace(newcomer, size=0.0)
        assert not decide(newcomer, others, rung=rung, head=head)
        assert not decide(tiny, others, rung=rung, head=head, hope=1.0)


@given(ENTRIES, OTHERS, RUNGS, HEADS)
def test_protected_trials_go_on(
    newcomer: Entry, others: list[Entry], rung: int, head: float | None
) -> None:
    assert decide(newcomer, others, rung=rung, head=head, protected=True)


@given(ENTRIES, OTHERS, RUNGS, HEADS, st.floats(0, 1))
def test_a_better_score_never_stops_a_trial(
    newcomer: Entry, others: list[Entry], rung: int, head: float | None, more: float
) -> None:
    if math.isfinite(newcomer.gain) and decide(newcomer, others, rung=rung, head=head):
        better = dataclasses.replace(newcomer, gain=newcomer.gain + more)
        assert decide(better, others, rung=rung, head=head)


@given(ENTRIES, OTHERS, RUNGS, HEADS, st.floats(0, 1))
def test_hope_never_stops_a_trial(
    newcomer: Entry, others: list[Entry], rung: int, head: float | None, hope: float
) -> None:
    if decide(newcomer, others, rung=rung, head=head):
        assert decide(newcomer, others, rung=rung, head=head, hope=hope)


@given(ENTRIES, OTHERS)
def test_a_slow_starter_meets_only_its_family_at_the_first_rung(
    newcomer: Entry, others: list[Entry]
) -> None:
    slow = dataclasses.replace(newcomer, slow=True)
    family = [other for other in others if other.family == slow.family]
    alone = decide(slow, family, rung=0, head=None)
    assert decide(slow, others, rung=0, head=2.0) == alone


@given(OTHERS, RUNGS)
def test_a_missing_score_stops(others: list[Entry], rung: int) -> None:
    for missing in (math.nan, -math.inf):
        newcomer = Entry(gain=missing, size=1.0, family="scale")
        assert not decide(newcomer, others, rung=rung, head=None)


def test_the_dominated_stop_once_a_third_is_better() -> None:
    better = [Entry(gain=0.8, size=2.0, family="scale")] * 3
    worse = Entry(gain=0.7, size=3.0, family="scale")
    assert not decide(worse, better, rung=1, head=0.5)


def test_a_trial_that_ties_with_all_goes_on() -> None:
    same = Entry(gain=0.8, size=2.0, family="scale")
    assert decide(same, [same] * 20, rung=1, head=0.5)


def test_slow_starters_are_low_learning_rates_prompts_and_full_fine_tuning() -> None:
    def candidate(method: str, factor: float) -> Candidate:
        median = METHODS.get(method).learning_rate.median
        return Candidate(method=method, learning_rate=median * factor, epochs=3)

    expected = {
        ("lora", 1.0): False,
        ("lora", 0.3): True,
        ("prompt_tuning", 1.0): True,
        ("full", 1.0): True,
    }
    for (method, factor), slow in expected.items():
        assert slow_starter(candidate(method, factor), METHODS.get(method)) == slow


def test_no_comparison_before_scores_mean_anything() -> None:
    assert rungs_of(10_000) == SHARES
    assert rungs_of(171) == (1 / 3, 1.0)
    assert rungs_of(10) == (1.0,)


@given(
    st.lists(st.tuples(ENTRIES, st.sampled_from([0.0, 0.1, 0.4])), min_size=1, max_size=25),
    RUNGS,
    HEADS,
)
def test_all_at_once_are_judged_as_if_each_arrived_last(
    known: list[tuple[Entry, float]], rung: int, head: float | None
) -> None:
    entries, hopes = [entry for entry, _ in known], [hope for _, hope in known]
    alone = [
        decide(entry, entries[:i] + entries[i + 1 :], rung=rung, head=head, hope=hopes[i])
        for i, entry in enumerate(entries)
    ]
    assert again(entries, hopes, rung=rung, head=head) == alone
