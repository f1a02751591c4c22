"""What a training takes here, whoever trained it."""

from __future__ import annotations

from typing import Any

import pytest

from autopeft.bench.pace import Pace
from autopeft.methods import METHODS
from autopeft.methods.adapt import with_defaults
from autopeft.records import Candidate
from tests.search.made_up import backbone

HERE = {"processor": "Some CPU", "instructions": "AVX2", "gpu": None, "cores": 2}
ABOUT = {
    "shape": backbone().to_json(),
    "rows": [100, 40],
    "row_seconds": 0.01,
    "scoring_seconds": 0.004,
}
PACE = Pace(hardware=HERE, about=ABOUT)
LORA = with_defaults(METHODS.get("lora"), Candidate(method="lora", learning_rate=1e-3, epochs=3))


def line(**hardware: Any) -> dict[str, Any]:
    return {"costs": {"train_seconds": 7.0}, "hardware": {**HERE, **hardware}}


def test_the_same_kind_of_machine_counts_as_it_measured() -> None:
    assert PACE.seconds(LORA, line()) == 7.0
    assert PACE.seconds(LORA, line(cores=8)) == 7.0


@pytest.mark.parametrize("other", [{"gpu": "Some GPU"}, {"instructions": "AVX512"}])
def test_of_another_kind_counts_what_is_expected_here(other: dict[str, str]) -> None:
    """Three epochs of 100 rows, each with an evaluation of 40 at half the price."""
    assert PACE.seconds(LORA, line(**other)) == pytest.approx(3 * (100 + 20) * 0.01)


def test_what_failed_takes_no_time() -> None:
    assert PACE.seconds(LORA, {"state": "failed"}) == 0.0
