"""Predicted ends of learning curves: the power law is learnt, chances hold, the unlikely stops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from autopeft.records import Candidate, Costs, RungPoint, TrialRecord, TrialState
from benchmarks.search.policies.curves import (
    EXPONENT,
    NOISE,
    Curves,
    Stretch,
    both,
    distances,
    likely,
)

SHARES = (1 / 9, 1 / 3, 1.0)


def drawn(count: int, exponent: float, noise: float, seed: int = 0) -> list[list[float]]:
    """Return the distances at the rungs of so many trainings."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        far = [float(rng.uniform(0.1, 0.4))]
        for begin, end in pairwise(SHARES):
            length = math.log(end / begin)
            fall = exponent * length + noise * math.sqrt(length) * float(rng.standard_normal())
            far.append(far[-1] * math.exp(-fall))
        found.append(far)
    return found


def stretches(curves: list[list[float]]) -> list[Stretch]:
    return [
        Stretch(SHARES[i], SHARES[i + 1], far[i], far[i + 1]) for far in curves for i in range(2)
    ]


def test_exponent_and_noise_are_learnt() -> None:
    known = Curves().seen(stretches(drawn(400, exponent=1.1, noise=0.2)))
    assert known.exponent == pytest.approx(1.1, abs=0.02)
    assert known.noise == pytest.approx(0.2, abs=0.02)


def test_order_and_portions_do_not_matter() -> None:
    some = stretches(drawn(5, exponent=0.9, noise=0.3))
    at_once, reversed_ = Curves().seen(some), Curves().seen(some[::-1])
    one_by_one = Curves()
    for one in some:
        one_by_one = one_by_one.seen([one])
    for other in (reversed_, one_by_one):
        for name in ("exponent", "weight", "noise", "freedom"):
            assert getattr(other, name) == pytest.approx(getattr(at_once, name))


def test_chances_hold() -> None:
    """Of ends said to be so likely, so many come: learnt from few, asked of many others."""
    said, rng = [], np.random.default_rng(1)
    for seed in range(200):
        exponent = EXPONENT + NOISE / math.sqrt(Curves().weight) * float(rng.standard_normal())
        few, others = np.split(np.array(drawn(20, exponent, NOISE, seed)), [6])
        known = Curves().seen(stretches(few.tolist()))
        said += [known.chance(SHARES[0], far[0], far[2]) for far in others.tolist()]
    for chance in (0.1, 0.5, 0.9):
        assert np.mean(np.array(said) < chance) == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize("share", [1 / 9, 1 / 3])
def test_nearer_is_likelier(share: float) -> None:
    near, far = (Curves().chance(share, distance, 0.05) for distance in (0.1, 0.3))
    assert 0 < far < near < 1


def test_at_the_end_nothing_is_open() -> None:
    assert Curves().chance(1.0, 0.1, 0.2) == 1.0
    assert Curves().chance(1.0, 0.2, 0.1) == 0.0


def test_distances_are_never_nothing() -> None:
    assert min(distances([0.2, 0.9, 1.5], best=0.9, height=0.3)) > 0


def record(
    number: int,
    params: int,
    curve: tuple[float, ...],
    score: float | None = None,
    origin: str = "tpe",
) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=5),
        seed=0,
        state=TrialState.RUNNING if score is None else TrialState.COMPLETE,
        origin=origin,
        costs=Costs(trainable_params=params),
        curve=tuple(
            RungPoint(rung=i, share=SHARES[i], score=s, wall_seconds=1.0)
            for i, s in enumerate(curve)
        ),
        score=score,
    )


KNOWN = [
    record(0, 10_000, (0.72, 0.82), 0.90, "default"),
    record(1, 0, (0.55, 0.60), 0.65, "head"),
    record(2, 500, (0.75, 0.78), 0.80),
    *(record(number, 30_000, (0.76, 0.79), 0.82) for number in range(3, 9)),
]
NEW = len(KNOWN)


@pytest.mark.parametrize(
    ("params", "score", "goes_on"),
    [
        (20_000, 0.86, True),  # on the way to above the best
        (20_000, 0.60, False),  # far below it
        (700, 0.65, True),  # has only to surpass what is as small
        (700, 0.30, False),
        (100, 0.50, True),  # has only to beat the head
        (700, math.nan, False),
    ],
)
def test_the_unlikely_stops(params: int, score: float, goes_on: bool) -> None:
    newcomer = record(NEW, params, (score,))
    assert likely(NEW, newcomer.curve[0], [*KNOWN, newcomer], True) is goes_on
    turned = [
        record(r.number, r.costs.trainable_params, tuple(-p.score for p in r.curve),
               None if r.score is None else -r.score, r.origin)
        for r in (*KNOWN, newcomer)
    ]  # fmt: skip
    assert likely(NEW, turned[NEW].curve[0], turned, False) is goes_on


def test_the_default_and_the_head_go_on() -> None:
    for number in (0, 1):
        running = [r for r in KNOWN if r.number != number]
        lost = record(number, 0, (0.01,), origin=KNOWN[number].origin)
        assert likely(number, lost.curve[0], [*running, lost], True)


def test_before_anything_is_known_ranks_decide() -> None:
    alone = record(3, 700, (0.01,))
    assert likely(3, alone.curve[0], [alone], True) == both(3, alone.curve[0], [alone], True)
