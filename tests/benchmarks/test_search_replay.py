"""A replayed search is given every row once, nearest first, and pays for every epoch it is told."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopeft.bench.rows import packed
from autopeft.records import Candidate, Placement, TrialState
from autopeft.search.front import Point
from benchmarks.search.choice import Referee
from benchmarks.search.distance import distance, place
from benchmarks.search.hypervolume import Scale, area, epochs_to, growth
from benchmarks.search.recorded import Row, Table
from benchmarks.search.replay import Answer, Untried, replay
from benchmarks.table.candidates import candidates, table_space
from tests.benchmarks.made_up import BACKBONE, ROWS, table

SPACE = table_space(BACKBONE)
EVERY = candidates(BACKBONE)
LORA = EVERY[0]


@pytest.fixture(scope="module")
def made_up() -> Table:
    return table()


class Listed:
    """Asks for candidates in order, and stops each after some epochs."""

    def __init__(self, asked: list[Candidate], epochs: int = 5) -> None:
        self.asked, self.epochs, self.space = list(asked), epochs, SPACE
        self.rows: list[Row] = []
        self.heard: list[tuple[int, float]] = []
        self.answers: list[Answer] = []

    def ask(self) -> Candidate | None:
        return self.asked.pop(0) if self.asked else None

    def repeats(self) -> bool:
        return False

    def begin(self, row: Row) -> None:
        self.rows.append(row)

    def goes_on(self, epoch: int, score: float) -> bool:
        self.heard.append((epoch, score))
        return epoch < self.epochs

    def tell(self, answer: Answer) -> None:
        self.answers.append(answer)


class Repeating(Listed):
    """Stops its first after an epoch, and begins it again."""

    def repeats(self) -> bool:
        self.epochs = 5 if len(self.rows) == 1 else 1
        return len(self.rows) == 1


def apart(one: Candidate, other: Candidate) -> float:
    shape = BACKBONE.shape
    return distance(*(place(c, SPACE.count(c), shape) for c in (one, other)))


@given(*[st.sampled_from(EVERY)] * 2)
def test_distance_is_symmetric_and_zero_for_the_same_alone(
    one: Candidate, other: Candidate
) -> None:
    assert apart(one, other) == pytest.approx(apart(other, one))
    assert (apart(one, other) < 1e-9) == (one == other)


def test_a_unit_is_a_factor_of_four() -> None:
    faster = dataclasses.replace(LORA, learning_rate=4 * LORA.learning_rate)
    assert apart(LORA, faster) == pytest.approx(1)
    wider = dataclasses.replace(LORA, knobs={**LORA.knobs, "r": 35})
    assert apart(LORA, wider) == pytest.approx(1)
    assert LORA.placement is not None
    higher = dataclasses.replace(
        LORA, placement=Placement(sites=LORA.placement.sites, layers="top:3")
    )
    assert apart(LORA, higher) == pytest.approx(0.5)


def test_other_families_are_farther_than_other_methods_than_other_settings() -> None:
    by_method = {one.method: one for one in EVERY[2:30]}
    setting = dataclasses.replace(LORA, learning_rate=2 * LORA.learning_rate)
    within, between = by_method["lora_fa"], by_method["houlsby"]
    assert apart(LORA, setting) < apart(LORA, within) < apart(LORA, between)


def test_every_row_is_given_once_the_same_first(made_up: Table) -> None:
    untried = Untried(made_up, SPACE)
    assert [untried.take(one).candidate for one in EVERY] == EVERY
    assert len(untried) == 0


def test_no_row_is_given_of_a_method_that_could_not_be_proposed(made_up: Table) -> None:
    default = table_space(BACKBONE, name="default")
    untried = Untried(made_up, default)
    found = {untried.take(LORA).candidate.method for _ in range(len(untried))}
    assert found == {*default.methods, "head_only"}
    policy = Listed([LORA] * len(EVERY))
    policy.space = default
    steps = replay(policy, made_up, seed=0)
    assert len(steps) == len(Untried(made_up, default)) < len(EVERY)


def test_what_was_given_is_answered_by_the_next_nearest(made_up: Table) -> None:
    untried = Untried(made_up, SPACE)
    given_rows = [untried.take(LORA) for _ in range(6)]
    assert len({row.candidate.fingerprint for row in given_rows}) == 6
    assert [row.candidate.method for row in given_rows[:5]] == ["lora"] * 5
    apart_by = [apart(LORA, row.candidate) for row in given_rows]
    assert apart_by == sorted(apart_by)


@settings(max_examples=20, deadline=None)
@given(stopped=st.integers(1, 5), number=st.integers(1, 8))
def test_epochs_are_paid_as_they_are_told(made_up: Table, stopped: int, number: int) -> None:
    policy = Listed(EVERY[:number], epochs=stopped)
    steps = replay(policy, made_up, seed=0)
    assert [step.epochs for step in steps] == [stopped * (n + 1) for n in range(number)]
    assert len(policy.heard) == number * min(stopped, 4)
    wanted = TrialState.COMPLETE if stopped == 5 else TrialState.STOPPED
    assert {step.state for step in steps} == {wanted}
    assert [answer.score is not None for answer in policy.answers] == [stopped == 5] * number


def test_compute_is_epochs_by_price(made_up: Table) -> None:
    assert made_up.price(LORA) == 1
    whole, top = (
        dataclasses.replace(LORA, placement=Placement(sites=("attn.q",), layers=layers))
        for layers in ("all", "top:1")
    )
    assert made_up.price(whole) == 1 > 0.3 > made_up.price(top) > 0
    steps = replay(Listed(EVERY[:6], epochs=2), made_up, seed=0)
    prices = [made_up.price(one) for one in EVERY[:6]]
    assert [step.compute for step in steps] == pytest.approx(
        list(itertools.accumulate(2 * price for price in prices))
    )


def test_what_is_begun_again_is_the_same_row_at_its_full_price(made_up: Table) -> None:
    policy = Repeating([LORA, LORA, LORA], epochs=1)
    steps = replay(policy, made_up, seed=0)
    first, again, other = steps
    assert first.row is again.row is not other.row
    assert first.training is again.training
    assert [step.state for step in steps] == [
        TrialState.STOPPED,
        TrialState.COMPLETE,
        TrialState.STOPPED,
    ]
    assert [step.epochs for step in steps] == [1, 6, 7]


def test_a_failure_costs_a_whole_training() -> None:
    made = table(lambda one, params, seed: None, found=EVERY[:2])
    (step, _) = replay(Listed(EVERY[:2]), made, seed=0)
    assert (step.state, step.epochs) == (TrialState.FAILED, 5)


def test_no_training_begins_beyond_the_budget(made_up: Table) -> None:
    steps = replay(Listed(EVERY), made_up, seed=0, epochs=12)
    assert [step.epochs for step in steps] == [5, 10, 15]


def test_the_replay_s_seed_draws_the_recorded_one(made_up: Table) -> None:
    seeds = {
        tuple(step.training.seed for step in replay(Listed(EVERY[:20]), made_up, seed=seed))
        for seed in (0, 0, 1, 2)
    }
    assert len(seeds) == 3
    assert all(set(drawn) == {0, 1} for drawn in seeds)


POINTS = st.lists(
    st.builds(Point, gain=st.floats(0, 1), size=st.floats(0, 5)), min_size=1, max_size=8
)


@given(POINTS)
def test_area_is_that_of_the_boxes_together(points: list[Point]) -> None:
    gains = sorted({0.3, *(max(0.3, p.gain) for p in points)})
    sizes = sorted({4.0, *(min(4.0, p.size) for p in points)})
    covered = sum(
        (up - down) * (right - left)
        for down, up in itertools.pairwise(gains)
        for left, right in itertools.pairwise(sizes)
        if any(p.gain >= up and p.size <= left for p in points)
    )
    assert area(points, floor=0.3, most=4.0) == pytest.approx(covered)


def test_a_whole_table_has_all_of_its_hypervolume(made_up: Table) -> None:
    scale = Scale.of(made_up)
    assert scale.share_of(made_up.rows) == pytest.approx(1)
    points = growth(scale, replay(Listed(EVERY), made_up, seed=0))
    shares = [share for _, share in points]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    reached = epochs_to(points)
    assert reached is not None
    assert dict(points)[reached] >= 0.99
    assert all(share < 0.99 for epochs, share in points if epochs < reached)


def test_what_was_stopped_covers_nothing(made_up: Table) -> None:
    points = growth(Scale.of(made_up), replay(Listed(EVERY, epochs=2), made_up, seed=0))
    assert points == [(0, 0.0)]
    assert epochs_to(points) is None


def test_the_oracle_has_no_regret_and_the_choice_is_near_it(made_up: Table) -> None:
    referee = Referee(made_up)
    best = referee.oracle
    assert best.test == max(row.test for row in made_up.rows if row.test is not None)
    alone = referee.judge(replay(Listed([best.candidate]), made_up, seed=0))
    assert alone is not None
    assert (alone.row, alone.regret, alone.within, alone.ratio) == (best, 0.0, True, 1.0)
    all_tried = referee.judge(replay(Listed(EVERY), made_up, seed=0))
    assert all_tried is not None
    assert all_tried.ratio <= 1
    assert all_tried.regret < 0.05


def test_a_poor_choice_is_told_as_one() -> None:
    def scored(one: Candidate, params: int, seed: int) -> float:
        return 0.95 if one.method == "lora" else 0.6

    made = table(scored, found=EVERY)
    head = replay(Listed([EVERY[1]]), made, seed=0)
    told = Referee(made).judge(head)
    assert told is not None
    assert told.regret == pytest.approx(0.35)
    assert not told.within
    assert math.log10(told.ratio) < -1


def test_seeds_that_differ_on_test_alone_make_a_difference_unsure() -> None:
    def on_test(one: Candidate, params: int, seed: int) -> float:
        return 0.85 if one == LORA else (0.9, 0.7)[seed]

    made = table(lambda one, params, seed: 0.8, found=EVERY[:2], test=on_test)
    told = Referee(made).judge(replay(Listed([EVERY[1]]), made, seed=0))
    assert told is not None
    assert told.regret == pytest.approx(0.05)
    assert told.within


def test_what_is_lost_by_choosing_is_told_apart_from_what_was_not_tried() -> None:
    def on_test(one: Candidate, params: int, seed: int) -> float:
        return 0.95 if one == EVERY[2] else 0.9 if one == LORA else 0.7

    made = table(
        lambda one, params, seed: 0.9 if one == EVERY[3] else 0.6, found=EVERY[:9], test=on_test
    )
    told = Referee(made).judge(replay(Listed([LORA, EVERY[3]]), made, seed=0))
    assert told is not None
    assert (told.row.candidate, told.regret) == (EVERY[3], pytest.approx(0.25))
    assert told.tried == pytest.approx(0.05)


def test_fair_regret_counts_no_luck() -> None:
    """Averaged over test splits: on a single one that many are best is luck of its rows too."""
    alike = table(lambda one, params, seed: 0.8, found=EVERY[:40])
    regrets, fair = [], []
    for draw in range(8):
        rows = tuple(_with_test(row, [draw, place]) for place, row in enumerate(alike.rows))
        lucky = dataclasses.replace(alike, rows=rows)
        referee = Referee(lucky)
        for row in lucky.rows[:10]:
            told = referee.judge(replay(Listed([row.candidate]), lucky, seed=0))
            assert told is not None
            regrets.append(told.regret)
            fair.append(told.fair_regret)
    assert np.mean(regrets) > 0.03
    assert abs(np.mean(fair)) < 0.01


def test_fair_regret_is_that_where_luck_decides_nothing() -> None:
    best = table(lambda one, params, seed: 0.95 if one == LORA else 0.7)
    poor = Referee(best).judge(replay(Listed([EVERY[1]]), best, seed=0))
    assert poor is not None
    assert poor.fair_regret == pytest.approx(0.25, abs=0.01)


def _with_test(row: Row, draw: list[int]) -> Row:
    """Return a row that is right on 80 % of the test rows, drawn at random."""
    trainings = []
    for one in row.trainings:
        right = np.random.default_rng([*draw, one.seed]).random(ROWS) < 0.8
        true = np.arange(ROWS) % 2
        predicted = {**(one.predicted or {}), "test": packed(np.where(right, true, 1 - true))}
        trainings.append(dataclasses.replace(one, test=float(right.mean()), predicted=predicted))
    return dataclasses.replace(row, trainings=tuple(trainings))


def test_nothing_is_delivered_where_nothing_was_completed(made_up: Table) -> None:
    assert Referee(made_up).judge(replay(Listed(EVERY[:4], epochs=1), made_up, seed=0)) is None
