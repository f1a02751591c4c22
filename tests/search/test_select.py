"""The choice against brute force, and its promises."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.errors import ConfigError, NoCandidateError
from autopeft.records import Candidate, Cause, Costs, TrialRecord, TrialState
from autopeft.search.bootstrap import (
    Replicate,
    best_shares,
    bootstrap,
    moderated,
    standard_error,
    tied_shares,
)
from autopeft.search.finalist import Choice, Finalist
from autopeft.search.front import Point
from autopeft.search.select import choose, finalists, tolerance
from benchmarks.search.made_up_finals import world

ROWS = 400


def accuracy(predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted accuracy; predictions are 1 where they are right."""
    return np.asarray((weights * predictions).sum(axis=1) / weights.sum(axis=1))


def error(predictions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return 1.0 - accuracy(predictions, weights)


def replicate(score: float, seed: int, rows: int = ROWS) -> Replicate:
    right = np.zeros(rows)
    right[: round(score * rows)] = 1.0
    np.random.default_rng(seed).shuffle(right)
    return Replicate(seed=seed, score=float(right.mean()), predictions=right)


def finalist(
    number: int, params: int, *scores: float, origin: str = "tpe", rows: int = ROWS
) -> Finalist:
    return Finalist(
        number=number,
        label=f"method-{number}",
        origin=origin,
        trainable_params=params,
        fingerprint=f"{number:012d}",
        replicates=tuple(replicate(s, 10 * number + i, rows) for i, s in enumerate(scores)),
    )


def pick(candidates: list[Finalist], within: str = "1se", **options: Any) -> Choice:
    rows = len(candidates[0].replicates[0].predictions)
    return choose(
        candidates, accuracy, rows=rows, higher_is_better=True, within=within, resamples=400,
        **options,
    )  # fmt: skip


SCORES = st.sampled_from([0.3, 0.5, 0.6, 0.62, 0.64, 0.7, 0.9, 0.91])
TABLES = st.lists(
    st.tuples(
        st.sampled_from([64, 500, 500, 5_000, 50_000]),
        st.lists(SCORES, min_size=1, max_size=3),
        st.booleans(),
        st.one_of(st.none(), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=5,
)


def table_of(
    drawn: list[tuple[int, list[float], bool, int | None]], default: bool, head: bool
) -> list[Finalist]:
    rows = []
    for number, (params, scores, missing, size) in enumerate(drawn):
        one = finalist(number, params, *scores, rows=60)
        first = one.replicates[0]
        if missing and len(scores) > 1:
            first = dataclasses.replace(first, score=math.nan)
        replicates = (first, *one.replicates[1:])
        rows.append(dataclasses.replace(one, replicates=replicates, artifact_bytes=size))
    if default:
        rows[0] = dataclasses.replace(rows[0], origin="default")
    if head:
        rows.append(finalist(50, 0, 0.6, origin="head", rows=60))
    return rows


@settings(deadline=None, max_examples=60)
@given(TABLES, st.booleans(), st.booleans(), st.sampled_from(["0", "1se", "2se", "0.5pt"]))
def test_the_choice_equals_brute_force(
    drawn: list[tuple[int, list[float], bool, int | None]], default: bool, head: bool, within: str
) -> None:
    table = table_of(drawn, default, head)
    choice = pick(table, within)
    groups = [[r for r in c.replicates if not math.isnan(r.score)] for c in table]
    means = [sum(r.score for r in group) / len(group) for group in groups]
    resamples = bootstrap(groups, accuracy, rows=60, seed=0, resamples=400).draws

    def allowed(ahead: int, behind: int) -> bool:
        error = float(np.std(resamples[ahead] - resamples[behind], ddof=1))
        limit = {"0": 0.0, "1se": error, "2se": 2 * error, "0.5pt": 0.005}[within]
        return means[ahead] - means[behind] <= limit + 1e-9

    def price(i: int) -> tuple[float, float, str]:
        size = table[i].artifact_bytes
        return table[i].trainable_params, math.inf if size is None else size, table[i].fingerprint

    best = min(range(len(table)), key=lambda i: (-means[i], price(i)))
    heads = [means[i] for i in range(len(table)) if table[i].origin == "head"]
    good = [best]
    for i in range(len(table)):
        beats_head = table[i].origin == "head" or all(means[i] > level for level in heads)
        near_default = all(allowed(j, i) for j in range(len(table)) if table[j].origin == "default")
        if beats_head and near_default and allowed(best, i):
            good.append(i)
    assert choice.number == table[min(good, key=price)].number


@settings(deadline=None, max_examples=60)
@given(TABLES, st.booleans())
def test_the_choice_is_within_one_standard_error_of_the_default(
    drawn: list[tuple[int, list[float], bool, int | None]], head: bool
) -> None:
    table = table_of(drawn, True, head)
    groups = [[r for r in c.replicates if not math.isnan(r.score)] for c in table]
    means = [sum(r.score for r in group) / len(group) for group in groups]
    chosen = next(i for i, c in enumerate(table) if c.number == pick(table).number)
    resamples = bootstrap(groups, accuracy, rows=60, seed=0, resamples=400).draws
    assert means[0] - means[chosen] <= standard_error(resamples[0], resamples[chosen]) + 1e-9


@pytest.mark.parametrize("within", ["0", "1se", "2se", "0.5pt"])
def test_the_tiny_model_at_chance_never_wins(within: str) -> None:
    table = [
        finalist(0, 73_000, 0.9, 0.9, 0.9, origin="default"),
        finalist(1, 0, 0.52, 0.5, 0.51, origin="head"),
        finalist(2, 64, 0.5, 0.51, 0.5),
        finalist(3, 9_000, 0.9, 0.89, 0.9),
    ]
    assert pick(table, within).number not in (1, 2)
    few_rows = [finalist(0, 73_000, 0.6, rows=10), finalist(2, 64, 0.5, rows=10)]
    assert pick(few_rows, within, floor=0.5).number == 0


def test_the_smallest_within_one_standard_error_wins_and_the_sentence_says_why() -> None:
    table = [
        finalist(0, 294_912, 0.90, 0.905, 0.9, origin="default"),
        finalist(1, 0, 0.7, 0.7, 0.71, origin="head"),
        finalist(2, 590_000, 0.91, 0.905, 0.91),
        finalist(3, 12_288, 0.905, 0.9, 0.91),
    ]
    choice = pick(table)
    assert choice.number == 3
    assert "12,288 trained parameters, 24× fewer than the default LoRA" in choice.reason
    assert (
        "points behind the best (trial 2 (method-2)), within one standard error (" in choice.reason
    )
    for part in ("runner-up", "the default LoRA 90.2 % with 294,912", "the head alone 70.3 %"):
        assert part in choice.reason
    assert choice.table[0].finalist.number == 2
    assert math.isclose(sum(row.best_share for row in choice.table), 1.0)


def test_the_narrowest_of_several_limits_holds_and_each_is_said() -> None:
    table = [finalist(0, 9_000, 0.9, 0.9), finalist(1, 1_000, 0.895, 0.895)]
    assert pick(table).number == 1
    assert pick(table, "1se,0.4pt").number == 0
    near = "no smaller finalist is within one standard error and within 0.4 points of it"
    assert near in pick(table, "1se,0.4pt").reason
    smaller = pick(table, "1se,0.6pt")
    assert smaller.number == 1
    assert re.search(
        r"0\.5 points behind the best \(trial 0 \(method-0\)\), within one standard error "
        r"\(\d\.\d points\) and within 0\.6 points",
        smaller.reason,
    )


def test_a_point_is_what_the_metric_makes_of_it() -> None:
    table = [finalist(0, 9_000, 0.9, 0.9), finalist(1, 1_000, 0.7, 0.7)]
    assert pick(table, "0.5pt").number == 0
    loose = pick(table, "0.5pt", point=1.0, percent=False)
    assert loose.number == 1
    assert "within 0.5. Score" in loose.reason


def test_more_parameters_than_the_default_say_what_they_buy() -> None:
    table = [finalist(0, 1_000, 0.7, origin="default"), finalist(2, 4_000, 0.9)]
    choice = pick(table)
    assert choice.number == 2
    assert "4.0× more than the default LoRA, which buy 20.0 points" in choice.reason


def test_a_reference_that_may_not_be_chosen_can_be_better_and_is_told_so() -> None:
    reference = dataclasses.replace(finalist(0, 1_000, 0.9, origin="default"), eligible=False)
    reason = pick([reference, finalist(1, 4_000, 0.78)]).reason
    assert "because it is the best of those that may be chosen: 4,000" in reason
    assert "4.0× more than the default LoRA, which is 12.0 points ahead; the best score" in reason
    assert "buy" not in reason
    level = dataclasses.replace(reference, replicates=finalist(1, 10, 0.78).replicates)
    assert "LoRA, which is as good;" in pick([level, finalist(1, 4_000, 0.78)]).reason


def test_behind_a_reference_that_may_not_be_chosen_nothing_false_is_said() -> None:
    reference = dataclasses.replace(finalist(0, 1_000, 0.95, origin="default"), eligible=False)
    choice = pick([reference, finalist(1, 900, 0.78, 0.78), finalist(2, 90, 0.778, 0.778)])
    assert choice.number == 1, "the smaller one is near the best, and further behind the default"
    assert "the best score of those. Score" in choice.reason
    assert "it is the best of those that may be chosen, or at most" in choice.reason


def test_of_many_that_cannot_be_told_apart_the_number_and_two_are_named() -> None:
    reason = pick([finalist(n, 1_000 * (n + 1), 0.9, 0.9) for n in range(4)]).reason
    assert "It cannot be told apart from 3 finalists, such as trial 1 (method-1), which" in reason
    assert "2.0× more parameters, and trial 3 (method-3), which trains 4.0× more" in reason


def test_the_promised_interval_stays_within_what_the_metric_can_be() -> None:
    table = [finalist(0, 1_000, 0.98, 0.94, 0.99, rows=100), finalist(1, 500, 0.9, rows=100)]
    loose = pick(table, bounds=(-math.inf, math.inf)).expected
    assert loose.high > 1.0
    assert pick(table, percent=False).expected.high == 1.0


def test_the_sentence_says_how_sure_it_is_and_who_cannot_be_told_apart() -> None:
    table = [
        finalist(0, 73_000, 0.90, 0.91, 0.90, origin="default"),
        finalist(1, 9_000, 0.89, 0.90, 0.90),
        finalist(2, 100, 0.5, 0.52, 0.51),
    ]
    choice = pick(table)
    assert choice.number == 1
    assert (
        "It cannot be told apart from trial 0 (method-0), which trains 8.1× more parameters."
        in (choice.reason)
    )
    assert "The chance that it is the best of the finalists, or at most 1." in choice.reason
    assert "On new data expect 89." in choice.reason
    chances = {row.finalist.number: row.chance for row in choice.table}
    assert chances[1] == 1.0
    assert chances[0] > 0.05 > chances[2]


def test_of_one_seed_each_the_sentence_says_that_others_might_change_it() -> None:
    one = [finalist(0, 73_000, 0.90, origin="default"), finalist(1, 9_000, 0.80)]
    assert "if other seeds would change nothing: each was trained with one." in pick(one).reason
    more = [finalist(0, 73_000, 0.90, 0.91, origin="default"), finalist(1, 9_000, 0.80)]
    assert "other seeds" not in pick(more).reason


def test_best_or_tied_is_no_less_than_best() -> None:
    table = [finalist(0, 73_000, 0.90, 0.91), finalist(1, 9_000, 0.89, 0.90), finalist(2, 10, 0.6)]
    rows = pick(table).table
    assert all(row.tied_share >= row.best_share for row in rows)
    assert rows[0].margin > 0
    assert pick(table, "0").table[0].tied_share == pytest.approx(
        pick(table, "0").table[0].best_share, abs=0.01
    )


def test_a_score_of_a_training_that_was_cut_short_is_told_as_one() -> None:
    cut = "(the time limit cut its training short)"
    head = finalist(1, 0, 0.3, origin="head")
    table = [finalist(0, 70_000, 0.9, origin="default"), dataclasses.replace(head, cut_short=True)]
    assert f"the head alone 30.0 % with 0 trained parameters {cut}" in pick(table).reason
    assert f"Score 30.0 % {cut}" in pick(table[1:]).reason
    assert cut not in pick(table[:1]).reason


def test_one_finalist_alone_is_not_compared() -> None:
    reason = pick([finalist(1, 10, 0.8)]).reason
    assert "The chance" not in reason
    assert "told apart" not in reason


def test_expected_score_of_an_error_is_higher_than_measured() -> None:
    table = [
        dataclasses.replace(c, replicates=tuple(
            dataclasses.replace(r, score=1 - r.score) for r in c.replicates))
        for c in (finalist(0, 10, 0.80, 0.81), finalist(1, 1_000, 0.80, 0.82))
    ]  # fmt: skip
    tried = [Point(gain=-0.2 - 0.002 * i, size=3.0) for i in range(20)]
    choice = choose(
        table, error, rows=ROWS, higher_is_better=False, percent=False, tried=tried, resamples=200
    )
    assert choice.expected.optimism > 0
    score = next(row.score for row in choice.table if row.finalist.number == choice.number)
    assert choice.expected.score == pytest.approx(score + choice.expected.optimism)
    assert choice.expected.low < choice.expected.score < choice.expected.high
    assert re.search(r"On new data expect 0\.2\d*, 0\.0\d+ more for its luck", choice.reason)


def test_the_default_can_be_the_choice() -> None:
    table = [finalist(0, 1_000, 0.9, origin="default"), finalist(2, 4_000, 0.7)]
    assert "the default LoRA itself" in pick(table).reason


def test_the_best_seed_is_delivered_of_equal_ones_the_lowest() -> None:
    three = finalist(1, 10, 0.7, 0.9, 0.8)
    assert pick([three]).seed == three.replicates[1].seed
    equal = finalist(1, 10, 0.7, 0.9, 0.9)
    assert pick([equal]).seed == equal.replicates[1].seed


def test_on_folds_the_seed_of_median_score_is_delivered() -> None:
    """There a higher score may be that of easier rows."""
    three = finalist(1, 10, 0.7, 0.9, 0.8)
    seen = np.ones(ROWS, np.bool_)
    folded = tuple(dataclasses.replace(one, seen=seen) for one in three.replicates)
    assert pick([dataclasses.replace(three, replicates=folded)]).seed == folded[2].seed


def test_a_part_of_what_the_best_seed_is_ahead_is_promised() -> None:
    """More of it where seeds differ by more than luck on the rows explains."""
    near, far = (
        [finalist(1, 10, 0.8 - apart, 0.8, 0.8 + apart), finalist(2, 10_000, 0.5, 0.5, 0.5)]
        for apart in (0.01, 0.2)
    )
    for table, least, most in ((near, 0.0, 0.5), (far, 0.5, 1.0)):
        choice = pick(table)
        (row,) = (row for row in choice.table if row.finalist.number == choice.number)
        assert row.score == max(one.score for one in row.finalist.replicates)
        assert row.score - choice.expected.optimism == pytest.approx(choice.expected.score)
        assert least <= (choice.expected.score - row.mean) / (row.score - row.mean) < most
        assert f"{row.score:.1%} of the seed that is delivered".replace("%", " %") in choice.reason
    single = pick([finalist(1, 10, 0.8)])
    assert single.expected.score == pytest.approx(0.8)
    assert "of the seed" not in single.reason


def test_a_lower_error_is_better() -> None:
    table = [finalist(0, 10, 0.9), finalist(1, 1_000, 0.5)]
    flipped = [
        dataclasses.replace(
            c,
            replicates=tuple(dataclasses.replace(r, score=1 - r.score) for r in c.replicates),
        )
        for c in table
    ]
    choice = choose(flipped, error, rows=ROWS, higher_is_better=False, percent=False, resamples=200)
    assert choice.number == 0
    assert choice.table[0].mean == pytest.approx(0.1)
    assert choice.table[1].behind == pytest.approx(0.4)


def test_ties_go_to_bytes_then_to_the_fingerprint() -> None:
    one = finalist(1, 10, 0.8)
    smaller = dataclasses.replace(one, number=2, artifact_bytes=5)
    larger = dataclasses.replace(one, number=3, artifact_bytes=9)
    alike = dataclasses.replace(smaller, number=4, fingerprint="0")
    assert alike.fingerprint < smaller.fingerprint
    assert pick([one, larger, smaller]).number == 2
    assert pick([one, larger, smaller, alike]).number == 4
    assert pick([alike, smaller, larger, one]).number == 4


def test_what_may_not_be_chosen_is_only_compared_with() -> None:
    reference = dataclasses.replace(finalist(0, 10, 0.9, origin="default"), eligible=False)
    assert pick([reference, finalist(1, 1_000, 0.6)]).number == 1


def test_nothing_measured_is_an_error() -> None:
    lost = dataclasses.replace(finalist(1, 10, 0.8), replicates=())
    with pytest.raises(NoCandidateError):
        choose([lost], accuracy, rows=ROWS, higher_is_better=True)


def test_rows_are_drawn_once_for_all() -> None:
    one = replicate(0.8, 0)
    drawn = bootstrap([[one], [one]], accuracy, rows=ROWS, seed=3, resamples=300).draws
    assert standard_error(drawn[0], drawn[1]) == 0.0
    alone = float(drawn[0].std())
    assert alone == pytest.approx(math.sqrt(0.8 * 0.2 / ROWS), rel=0.2)


def test_only_rows_that_were_seen_count() -> None:
    """Two halves of the rows, one for each seed, say what the halves say alone."""
    half = ROWS // 2
    first = np.arange(ROWS) < half
    right = np.random.default_rng(0).permutation(np.arange(ROWS) % 3 > 0).astype(float)
    other = np.where(first, right, 1 - right)  # what was not seen may be anything
    for predictions in (right, other):
        one = Replicate(seed=0, score=0.6, predictions=predictions, seen=first)
        drawn = bootstrap([[one]], accuracy, rows=ROWS, seed=3, resamples=300).draws[0]
        assert drawn.mean() == pytest.approx(right[:half].mean(), abs=0.01)
        expected = math.sqrt(right[:half].var() / half)
        assert drawn.std() == pytest.approx(expected, rel=0.15)


def test_a_resample_without_any_seen_row_takes_all_of_them() -> None:
    seen = np.arange(ROWS) == 7
    one = Replicate(seed=0, score=1.0, predictions=np.ones(ROWS), seen=seen)
    drawn = bootstrap([[one]], accuracy, rows=ROWS, seed=0, resamples=50).draws
    assert np.isfinite(drawn).all()


def test_rows_that_are_hard_for_all_are_no_luck_of_a_seed() -> None:
    """On folds, seeds differ by their rows, for all finalists alike."""
    generator = np.random.default_rng(1)
    made = [world(generator, tried=4, rows=100, folds=folds) for folds in (True, False) * 20]

    def spreads(folds: bool) -> float:
        found = []
        for one in made[0 if folds else 1 :: 2]:
            groups = [one.finalist(i, 3).replicates for i in range(4)]
            rows = one.right.shape[-1]
            evidence = bootstrap(groups, accuracy, rows=rows, seed=0, resamples=200)
            found.append(evidence.seed_variances.mean() + evidence.row_variances.mean())
        return statistics.fmean(found)

    assert spreads(folds=True) < 2.5 * spreads(folds=False)


def test_seeds_are_drawn_too() -> None:
    spread = [replicate(s, i) for i, s in enumerate((0.6, 0.8, 1.0))]
    drawn = bootstrap([spread], accuracy, rows=ROWS, seed=3, resamples=500).draws
    assert drawn.std() > 0.08


def test_rows_and_seeds_are_counted_once() -> None:
    """The pigeonhole bootstrap counts what a seed gets right on just these rows more than once."""
    generator = np.random.default_rng(0)
    claimed, actual = [], []
    for _ in range(60):
        made = world(generator, tried=2, rows=ROWS, seeds=3)
        groups = [made.finalist(i, 3).replicates for i in range(2)]
        draws = bootstrap(groups, accuracy, rows=ROWS, seed=0, resamples=200).draws
        means = [statistics.fmean(r.score for r in group) for group in groups]
        claimed.append(standard_error(draws[0], draws[1]) ** 2)
        actual.append((means[0] - means[1] - (made.true[0] - made.true[1])) ** 2)
    assert np.mean(claimed) == pytest.approx(np.mean(actual), rel=0.35)


def test_variances_are_pooled_where_there_are_few_seeds() -> None:
    found = moderated(np.array([1.0, 3.0, 0.0]), np.array([2, 2, 0]))
    assert found[2] == pytest.approx(2.0)
    assert 1.0 < found[0] < 2.0 < found[1] < 3.0
    assert moderated(np.array([0.0]), np.array([0])).tolist() == [0.0]
    assert moderated(np.array([-1.0]), np.array([3])).tolist() == [0.0]


def test_ties_are_with_those_that_may_be_chosen() -> None:
    gains = np.array([[1.0, 2.0], [1.5, 1.5], [9.0, 9.0]])
    rivals = np.array([True, True, False])
    assert tied_shares(gains, np.array([0.0, 0.5, 0.0]), rivals).tolist() == [0.5, 1.0, 1.0]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    group = [[replicate(0.7, 1), replicate(0.8, 2)]]
    whole = bootstrap(group, accuracy, rows=ROWS, seed=1, resamples=50)
    monkeypatch.setattr("autopeft.search.bootstrap._CHUNK", 7 * ROWS)
    again = bootstrap(group, accuracy, rows=ROWS, seed=1, resamples=50)
    assert np.array_equal(whole.draws, again.draws)


def test_shares_split_ties_and_skip_what_is_missing() -> None:
    gains = np.array([[1.0, 2.0, np.nan, np.nan], [1.0, 1.0, 3.0, np.nan]])
    assert best_shares(gains).tolist() == [0.5, 0.5]
    assert best_shares(np.full((2, 3), np.nan)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("within", "limit"),
    [
        ("0", 0.0),
        ("1se", 2.0),
        ("2se", 4.0),
        ("0.5pt", 0.005),
        ("1.5se", 3.0),
        ("1se,0.5pt", 0.005),
        ("1se,300pt", 2.0),
    ],
)
def test_tolerances(within: str, limit: float) -> None:
    assert tolerance(within)(2.0) == pytest.approx(limit)


@pytest.mark.parametrize("within", ["", "se", "5", "1sd", "-1se", "1 pt x", "1se,", "1se,x"])
def test_an_unknown_tolerance_is_refused(within: str) -> None:
    with pytest.raises(ConfigError, match="allowed: 0, 1se, 2se"):
        tolerance(within)


def record(number: int, params: int, score: float | None, origin: str = "tpe") -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=3),
        seed=0,
        state=TrialState.COMPLETE if score is not None else TrialState.FAILED,
        origin=origin,
        costs=Costs(trainable_params=params),
        score=score,
        cause=None if score is not None else Cause.BUG,
    )


def test_finalists_are_the_front_with_both_references_beside_it() -> None:
    records = [
        record(0, 5_000, 0.80, "default"),
        record(1, 0, 0.5, "head"),
        record(2, 64, 0.45),  # dominated by the head
        record(3, 100, 0.6),
        record(4, 1_000, 0.85),
        record(5, 9_000, 0.90),
        record(6, 9_000, 0.70),
        record(7, 10, None),
    ]
    assert finalists(records, higher_is_better=True) == [5, 4, 3, 1, 0]
    assert finalists(records, higher_is_better=True, k=1) == [5, 0, 1]
    assert finalists([], higher_is_better=True) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), SCORES)), max_size=12))
def test_who_is_dominated_is_a_finalist_only_after_the_whole_front(
    drawn: list[tuple[int, float | None]],
) -> None:
    records = [record(i, params, score) for i, (params, score) in enumerate(drawn)]
    done = {r.number: r for r in records if r.score is not None}
    expected = {
        n
        for n, r in done.items()
        if not any(
            o.costs.trainable_params <= r.costs.trainable_params
            and o.score >= r.score  # type: ignore[operator]
            and (o.costs.trainable_params, o.score) != (r.costs.trainable_params, r.score)
            for o in done.values()
        )
    }
    order = finalists(records, higher_is_better=True, k=99)
    assert set(order[: len(expected)]) == expected
    assert set(order) == set(done)
