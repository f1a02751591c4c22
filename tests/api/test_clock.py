"""The clock: what is left, what things take, what still fits. Time is made up."""

from __future__ import annotations

import pytest

from autopeft.api.clock import SEARCH_SHARE, Clock
from autopeft.records import Candidate


class Time:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def candidate(method: str = "lora", epochs: int = 4, learning_rate: float = 1e-3) -> Candidate:
    return Candidate(method=method, learning_rate=learning_rate, epochs=epochs)


@pytest.fixture
def time() -> Time:
    return Time()


def test_without_a_limit_everything_fits(time: Time) -> None:
    clock = Clock(limit_seconds=None, now=time)
    clock.measured(candidate(), 1e9, 1.0)
    assert clock.left_seconds is None
    assert clock.fits(candidate())


def test_earlier_sittings_count(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, spent_seconds=30.0, now=time)
    time.now += 20.0
    assert clock.elapsed_seconds == 50.0


def test_what_is_left_leaves_time_for_the_delivery(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time)
    clock.delivery_seconds = 10.0
    before = clock.left_seconds
    assert before is not None
    assert 80.0 < before < 90.0
    clock.delivery_seconds = 30.0
    assert clock.left_seconds == pytest.approx(before - 20.0)
    time.now += 15.0
    assert clock.left_seconds == pytest.approx(before - 35.0)


def test_what_is_kept_in_any_case_is_cut_in_time_for_that(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time, finish_seconds=20.0)
    assert clock.left_seconds is not None
    assert clock.reference_seconds == pytest.approx(clock.left_seconds - 20.0)
    time.now += 90.0
    assert clock.reference_seconds == 1.0
    assert Clock(limit_seconds=None, finish_seconds=20.0, now=time).reference_seconds is None


def test_what_is_left_is_never_nothing(time: Time) -> None:
    """The references come whatever the limit."""
    clock = Clock(limit_seconds=10.0, now=time)
    time.now += 500.0
    assert clock.left_seconds is not None
    assert clock.left_seconds > 0


def test_estimates_come_from_what_was_measured(time: Time) -> None:
    clock = Clock(limit_seconds=1_000.0, now=time)
    assert clock.estimate_seconds(candidate()) is None
    assert clock.fits(candidate())
    clock.measured(candidate(epochs=4), 2.0, 0.25)  # a quarter of four epochs: 2 s an epoch
    assert clock.estimate_seconds(candidate(epochs=3)) == pytest.approx(6.0)
    clock.measured(candidate(epochs=1, learning_rate=0.1), 4.0, 1.0)
    clock.measured(candidate(epochs=1, learning_rate=0.2), 100.0, 1.0)
    assert clock.estimate_seconds(candidate(epochs=1)) == pytest.approx(4.0)


def test_what_was_trained_takes_as_long_again(time: Time) -> None:
    """Trials that were stopped early say of an epoch that it takes longer than it does."""
    clock = Clock(limit_seconds=1_000.0, now=time)
    clock.measured(candidate(epochs=3), 14.0, 1.0)
    for rate in (0.1, 0.2, 0.3):
        clock.measured(candidate(epochs=3, learning_rate=rate), 8.0, 1 / 3)
    assert clock.estimate_seconds(candidate(epochs=3)) == pytest.approx(14.0)
    assert clock.estimate_seconds(candidate(epochs=3, learning_rate=0.4)) == pytest.approx(24.0)


def test_estimate_has_the_time_to_finish_a_training(time: Time) -> None:
    clock = Clock(limit_seconds=1_000.0, now=time, finish_seconds=20.0)
    assert clock.estimate_seconds(candidate()) is None
    clock.measured(candidate(epochs=1), 4.0, 1.0)
    assert clock.estimate_seconds(candidate(epochs=2)) == pytest.approx(8.0 + 10.0)


def test_unknown_method_is_taken_for_as_slow_as_the_slowest(time: Time) -> None:
    clock = Clock(limit_seconds=1_000.0, now=time)
    clock.measured(candidate("lora", 1), 1.0, 1.0)
    clock.measured(candidate("full", 1), 9.0, 1.0)
    assert clock.estimate_seconds(candidate("ia3", 2)) == pytest.approx(18.0)


def test_training_that_did_nothing_says_nothing(time: Time) -> None:
    clock = Clock(limit_seconds=1_000.0, now=time)
    clock.measured(candidate(), 5.0, 0.0)
    assert clock.estimate_seconds(candidate()) is None


def test_what_takes_longer_than_is_left_does_not_fit(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time)
    clock.delivery_seconds = 0.0
    clock.measured(candidate(epochs=1), 50.0, 1.0)
    assert clock.fits(candidate(epochs=1))
    assert not clock.fits(candidate(epochs=2))
    time.now += 60.0
    assert not clock.fits(candidate(epochs=1))


def test_search_ends_however_short_its_trials_are(time: Time) -> None:
    """A second is always granted to a training, but not a second after the other."""
    clock = Clock(limit_seconds=100.0, now=time)
    clock.measured(candidate(), 0.1, 1.0)
    time.now += 99.0
    left = clock.search_seconds(0.0)
    assert left is not None
    assert left < clock.typical_seconds
    assert not clock.fits(candidate())


def test_what_a_trial_takes_is_told_without_the_head_and_until_it_is_saved(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time)
    clock.finish_seconds = 6.0
    assert clock.typical_seconds == 0.0
    clock.measured(candidate("head_only"), 1.0, 1.0)
    assert clock.typical_seconds == 1.0 + 3.0
    clock.measured(candidate(), 20.0, 1.0)
    clock.measured(candidate(), 10.0, 0.3)
    assert clock.typical_seconds == 15.0 + 3.0


def test_delivery_is_expected_to_score_as_fast_as_trials_were_scored(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time)
    clock.delivery_seconds, clock.delivery_rows, clock.scoring_seconds = 0.0, 1000, 0.05
    guessed = clock.left_seconds
    for seconds in (0.01, 0.5, 0.01):
        clock.scored(seconds)
    measured = clock.left_seconds
    assert guessed is not None
    assert measured is not None
    assert 0.7 * 40.0 < measured - guessed < 40.0, "a little more than was measured"


def test_replicates_get_at_most_the_share_that_the_search_does_not_have(time: Time) -> None:
    clock = Clock(limit_seconds=100.0, now=time)
    clock.delivery_seconds = 0.0
    most = (1 - SEARCH_SHARE) * clock.left_seconds
    assert clock.most_aside == pytest.approx(most)
    whole = clock.search_seconds(0.0)
    assert whole is not None
    for wanted, aside in (([10.0], 10.0), ([1e9, 20.0, 5.0], 20.0), ([1e9, most + 1], 0.0)):
        assert clock.search_seconds(clock.aside(wanted)) == pytest.approx(whole - aside)
    assert Clock(limit_seconds=None).search_seconds(1.0) is None
