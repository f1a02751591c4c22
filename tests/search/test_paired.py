"""Paired tests between finalists."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.search.paired import chance, corrected


def test_chance_is_two_sided_and_falls_with_the_difference() -> None:
    assert chance(1.96, 1.0) == pytest.approx(0.05, abs=1e-3)
    assert chance(-1.96, 1.0) == chance(1.96, 1.0)
    assert chance(0.0, 1.0) == 1.0


def test_without_any_variation_only_equal_scores_are_alike() -> None:
    assert chance(0.0, 0.0) == 1.0
    assert chance(1e-9, 0.0) == 0.0


@given(st.lists(st.floats(0, 1), max_size=8))
def test_correction_is_holms(chances: list[float]) -> None:
    found = corrected(chances)
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    steps = [min(1.0, (len(chances) - place) * chances[i]) for place, i in enumerate(order)]
    expected = [max(steps[: place + 1]) for place in range(len(order))]
    assert [found[i] for i in order] == expected
    assert all(after >= before or math.isclose(after, before)
               for after, before in zip(found, chances, strict=True))  # fmt: skip
