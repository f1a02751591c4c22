"""The winner's curse, with true scores known."""

from __future__ import annotations

import numpy as np
import pytest

from autopeft.search.bootstrap import bootstrap
from autopeft.search.finalist import Choice
from autopeft.search.front import Point
from autopeft.search.optimism import Luck, luck, optimism
from autopeft.search.select import choose
from benchmarks.search.made_up_finals import World, accuracy, world

ROWS = 200
NOISE = Luck(candidate=1e-4, training=1e-4)


def points(*scores: float, size: float = 4.0) -> list[Point]:
    return [Point(gain=score, size=size) for score in scores]


def play(tried: list[Point], noise: Luck = NOISE, **changes: float) -> float:
    options = {"finalists": 5, "seeds": 3, "margin": 0.0, **changes}
    return optimism(tried, noise, **options)  # type: ignore[arg-type]


def test_more_candidates_mean_more_luck() -> None:
    alike = [0.8 + 0.001 * i for i in range(40)]
    few, many = play(points(*alike[:5])), play(points(*alike))
    assert 0 < few < many


def test_who_is_far_ahead_was_not_lucky() -> None:
    assert abs(play(points(0.9, *[0.5] * 3), Luck(candidate=1e-6, training=1e-6))) < 1e-3


def test_what_further_seeds_average_away_is_not_lasting() -> None:
    scores = points(*[0.8 + 0.002 * i for i in range(20)])
    by_rows = play(scores, Luck(candidate=2e-4, training=0.0))
    by_seeds = play(scores, Luck(candidate=0.0, training=2e-4))
    assert by_seeds < 0.7 * by_rows


def test_too_few_tried_say_nothing() -> None:
    assert play(points(0.9, 0.8)) == 0.0
    assert play(points(0.9, 0.8, 0.7), Luck(candidate=0.0, training=0.0)) == 0.0


def test_a_smaller_choice_within_the_margin_was_less_lucky() -> None:
    scores = [0.8 + 0.002 * i for i in range(20)]
    tried = [Point(gain=score, size=4.0 + (i % 5)) for i, score in enumerate(scores)]
    assert play(tried, margin=0.02) < play(tried)


def test_luck_is_told_apart_by_what_seeds_share() -> None:
    generator = np.random.default_rng(1)
    found, between = [], []
    for _ in range(20):
        made = world(generator, tried=6, rows=ROWS, seeds=20)
        groups = [made.finalist(i, 3).replicates for i in range(6)]
        evidence = bootstrap(groups, accuracy, rows=ROWS, seed=0, resamples=300)
        training = evidence.seed_variances + evidence.row_variances
        found.append(luck(evidence.draws, training, [3] * 6))
        between.append(made.right.mean(axis=2).var(axis=1, ddof=1).mean())
    assert np.mean([part.training for part in found]) == pytest.approx(np.mean(between), rel=0.3)
    assert np.mean([part.candidate for part in found]) > 0


def chosen(made: World, seeds: int = 3) -> Choice:
    return choose(
        [made.finalist(i, seeds) for i in made.finalists(5)],
        accuracy,
        rows=made.right.shape[-1],
        higher_is_better=True,
        within="0",
        tried=[Point(gain=score, size=size) for score, size in
               zip(made.first_scores(), made.sizes, strict=True)],
        resamples=200,
    )  # fmt: skip


def test_the_correction_takes_most_of_the_curse_away() -> None:
    generator = np.random.default_rng(0)
    raw, corrected, inside = [], [], []
    for _ in range(80):
        made = world(generator, tried=30, rows=ROWS, seeds=3, crowded=True)
        choice = chosen(made)
        true = made.of_seeds[choice.number, choice.seed]
        raw.append(choice.table[0].mean - true)
        corrected.append(choice.expected.score - true)
        inside.append(choice.expected.low <= true <= choice.expected.high)
    assert np.mean(raw) > 0.012
    assert abs(np.mean(corrected)) < 0.4 * np.mean(raw)
    assert 0.88 <= np.mean(inside) <= 1.0
