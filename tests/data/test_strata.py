"""Stratified choice: exact totals, within one in every stratum."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autopeft.data.strata import choose, deal, strata_of

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**32 - 1)


def _strata(sizes: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(sizes=SIZES, share=st.floats(0, 1), seed=SEEDS)
def test_choice_is_exact_in_total_and_within_one_in_every_stratum(
    sizes: list[int], share: float, seed: int
) -> None:
    strata = _strata(sizes, seed)
    rows = round(share * len(strata))
    chosen = choose(strata, rows, np.random.default_rng(seed))
    assert chosen.sum() == rows
    for stratum, size in enumerate(sizes):
        ideal = size * rows / len(strata)
        assert abs(chosen[strata == stratum].sum() - ideal) < 1


@given(sizes=SIZES, share=st.floats(0.01, 0.3), parts=st.integers(1, 2), seed=SEEDS)
def test_held_out_parts_are_within_one_in_every_stratum(
    sizes: list[int], share: float, parts: int, seed: int
) -> None:
    strata = _strata(sizes, seed)
    rows = round(share * len(strata))
    dealt = deal(strata, (rows,) * parts, np.random.default_rng(seed))
    for stratum, size in enumerate(sizes):
        counts = np.bincount(dealt[strata == stratum], minlength=parts + 1)
        ideal = size * rows / len(strata)
        assert all(abs(count - ideal) <= 1 for count in counts[1:])
        assert counts[0] >= 1
        if size > parts:
            assert counts.min() >= 1


def test_strata_of_numbers_are_quantile_bins_of_like_size() -> None:
    values = np.random.default_rng(0).lognormal(size=1_000)
    bins = strata_of(values, 1_000)
    assert np.bincount(bins).tolist() == [100] * 10
    assert all(values[bins == b].max() <= values[bins == b + 1].min() for b in range(9))


def test_a_constant_number_is_one_stratum() -> None:
    assert len(set(strata_of(np.ones(50), 50).tolist())) == 1
