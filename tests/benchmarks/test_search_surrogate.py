"""The surrogate: a Gaussian process, areas in closed form, and what it then proposes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from autopeft.records import Candidate, Costs, TrialRecord, TrialState
from autopeft.search.front import Point
from autopeft.search.portfolio import references
from benchmarks.search.hypervolume import area
from benchmarks.search.policies.surrogate import (
    SPREAD,
    Features,
    Process,
    Surrogate,
    expected_area,
    learn_trend,
)
from benchmarks.table.candidates import candidates, table_space
from tests.benchmarks.made_up import BACKBONE, table

SPACE = table_space(BACKBONE)
EVERY = candidates(BACKBONE)
HEAD = references(SPACE)["head"]


def records(scored: Sequence[tuple[Candidate, float | None]]) -> list[TrialRecord]:
    return [
        TrialRecord(
            number=number,
            candidate=candidate,
            seed=0,
            state=TrialState.FAILED if score is None else TrialState.COMPLETE,
            origin="portfolio",
            costs=Costs(trainable_params=SPACE.count(candidate)),
            score=score,
        )
        for number, (candidate, score) in enumerate(scored)
    ]


def test_area_is_expected_as_by_drawing_gains() -> None:
    generator = np.random.default_rng(0)
    front = [
        Point(gain=0.5, size=0.0),
        Point(gain=0.6, size=2.0),
        Point(gain=0.8, size=3.0),
        Point(gain=0.8, size=6.0),
    ]
    known = area(front[1:], floor=0.5, most=6.0)
    for own, mean, deviation in ((1.0, 0.55, 0.1), (2.5, 0.7, 0.05), (4.0, 0.75, 0.2)):
        drawn = [
            area([*front[1:], Point(gain=g, size=own)], floor=0.5, most=6.0) - known
            for g in generator.normal(mean, deviation, 4000)
        ]
        found = expected_area(front, *(np.array([x]) for x in (own, mean, deviation)))
        error = np.std(drawn) / len(drawn) ** 0.5
        assert abs(float(found[0]) - np.mean(drawn)) < 4 * error


class Laplace(Kernel):  # type: ignore[misc]
    """What the process has as its covariance, for scikit-learn."""

    def __init__(self, length: float) -> None:
        self.length = length

    def __call__(
        self, one: np.ndarray, other: np.ndarray | None = None, eval_gradient: bool = False
    ) -> np.ndarray:
        other = one if other is None else other
        return np.exp(-np.abs(one[:, None] - other[None]).sum(-1) / self.length)

    def diag(self, one: np.ndarray) -> np.ndarray:
        return np.ones(len(one))

    def is_stationary(self) -> bool:
        return True


def test_process_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "benchmarks.search.policies.surrogate"
    monkeypatch.setattr(f"{module}.LENGTHS", (3.0,))
    monkeypatch.setattr(f"{module}.NOISES", (0.2,))
    monkeypatch.setattr(f"{module}.WEIGHT", 0)
    generator = np.random.default_rng(1)
    there, here = generator.random((20, 5)), generator.random((7, 5))
    values = generator.normal(size=20)
    means, deviations = Process(there, values, SPREAD).predict(here)
    theirs = GaussianProcessRegressor(Laplace(3.0), alpha=0.2, optimizer=None).fit(there, values)
    expected, spread = theirs.predict(here, return_std=True)
    assert means == pytest.approx(expected, abs=1e-8)
    assert deviations / spread == pytest.approx(np.full(7, deviations[0] / spread[0]))


def test_features_are_apart_by_what_differs() -> None:
    one, other = EVERY[0], HEAD
    same, apart = Features(SPACE).of([one, one]), Features(SPACE).of([one, other])
    assert np.abs(same[0] - same[1]).sum() == 0
    assert np.abs(apart[0] - apart[1]).sum() > 8


def test_it_looks_near_what_was_good_for_its_size_and_not_at_what_was_bad() -> None:
    def score(one: Candidate) -> float:
        return 0.9 if one.method == "ia3" else 0.5

    tried = [HEAD, *(one for one in EVERY[2:] if one.method in ("ia3", "lora", "houlsby"))]
    made = records([(one, score(one)) for one in tried])
    methods = {next(iter(Surrogate(SPACE, True, seed)(made))).method for seed in range(5)}
    assert not methods & {"lora", "houlsby"}
    small = Surrogate(SPACE, True, 0)(made)
    assert all(SPACE.count(one) < 10_000 for one in small)


def test_same_records_give_the_same_new_candidate_that_can_be_trained() -> None:
    made = records([(HEAD, 0.5), *((one, 0.6) for one in EVERY[2:20]), (EVERY[20], None)])
    one, again = (list(Surrogate(SPACE, True, 3)(made)) for _ in range(2))
    assert one == again
    assert len(one) == 1
    assert one[0] in SPACE
    assert SPACE.infeasible(one[0]) is None
    assert one[0].fingerprint not in {record.candidate.fingerprint for record in made}


def test_nothing_is_proposed_before_the_head_alone_has_a_score() -> None:
    assert not list(Surrogate(SPACE, True, 0)(records([(EVERY[2], 0.6)])))
    assert not list(Surrogate(SPACE, True, 0)(records([(HEAD, None), (EVERY[2], 0.6)])))


def test_among_given_candidates_it_proposes_each_once_and_then_nothing() -> None:
    among, tried = EVERY[2:8], [HEAD, EVERY[2]]
    while found := list(Surrogate(SPACE, True, 0, None, among)(records([(x, 0.5) for x in tried]))):
        tried += found
    assert {one.fingerprint for one in tried[2:]} == {one.fingerprint for one in among[1:]}
    assert len(tried) == 1 + len(among)


def test_lower_scores_are_better_where_the_metric_says_so() -> None:
    good = records([(HEAD, 0.5), *((one, 0.1 + i / 100) for i, one in enumerate(EVERY[2:12]))])
    bad = records([(HEAD, -0.5), *((one, -0.1 - i / 100) for i, one in enumerate(EVERY[2:12]))])
    assert list(Surrogate(SPACE, False, 0)(good)) == list(Surrogate(SPACE, True, 0)(bad))


def test_other_tasks_say_what_is_tried_first() -> None:
    def scored(one: Candidate, params: int, seed: int) -> float:
        return 0.9 if one.method == "ia3" else 0.6 if one.method != "head_only" else 0.5

    trend = learn_trend([table(scored)])
    assert trend is not None
    shares = trend(Features(SPACE).of([one for one in EVERY if one.method in ("ia3", "lora")]))
    assert shares.max() > shares.min() + 0.3
    begun = records([(HEAD, 0.5), (EVERY[0], 0.6)])
    assert next(iter(Surrogate(SPACE, True, 0, trend)(begun))).method == "ia3"
    assert learn_trend([]) is None
