"""What a training takes here, whoever trained it."""

from __future__ import annotations

from typing import Any

from autopeft.bench.pace import Pace
from autopeft.train.precision import Plan

HERE = {"processor": "Some CPU", "instructions": "AVX2", "gpu": None, "cores": 2}
PACE = Pace(hardware=HERE, seconds_per_step=0.5)


def line(**hardware: Any) -> dict[str, Any]:
    return {
        "candidate": {"epochs": 3, "batch_size": 32},
        "costs": {"train_seconds": 7.0},
        "hardware": {**HERE, **hardware},
    }


def test_the_same_kind_of_machine_counts_as_it_measured() -> None:
    assert PACE.seconds(line(), rows=100) == 7.0
    assert PACE.seconds(line(cores=8), rows=100) == 7.0


def test_of_another_kind_the_steps_count() -> None:
    steps = 3 * 4  # 100 rows in batches of 32
    assert PACE.seconds(line(gpu="Some GPU"), rows=100) == steps * 2 * 0.5
    assert PACE.seconds(line(instructions="AVX512"), rows=100) == steps * 2 * 0.5


def test_what_failed_takes_no_time() -> None:
    assert PACE.seconds({"state": "failed"}, rows=100) == 0.0


def test_without_a_measured_step_all_counts_as_it_was_measured() -> None:
    plan = Plan(dtype="float32", attention="eager")
    assert Pace.of(plan, HERE).seconds(line(gpu="Some GPU"), rows=100) == 7.0
