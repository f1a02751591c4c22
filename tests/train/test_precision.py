"""The plan is measured: plain fp32 stays unless another is clearly faster."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from autopeft.train import precision
from autopeft.train.precision import Plan, clearly_faster, fastest, matmul_rates, plans

CPU = torch.device("cpu")
CPU_PLANS = tuple(
    Plan(dtype=dtype, attention=attention)
    for dtype in ("float32", "bfloat16")
    for attention in ("eager", "sdpa")
)


class Watch:
    """A clock that only made-up steps move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(precision.time, "perf_counter", lambda: self.now)

    def steps(self, seconds: dict[tuple[str, str], float]) -> Callable[[Plan], Callable[[], None]]:
        def prepare(plan: Plan) -> Callable[[], None]:
            first = [True]

            def step() -> None:
                slow = 100.0 if first else 0.0  # the first step warms up and must not count
                first.clear()
                self.now += slow + seconds[plan.dtype, plan.attention]

            return step

        return prepare


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({}, ("float32", "eager")),
        ({("bfloat16", "eager"): 0.05}, ("bfloat16", "eager")),
        ({("bfloat16", "eager"): 0.09}, ("float32", "eager")),
        ({("float32", "sdpa"): 0.04, ("bfloat16", "sdpa"): 0.05}, ("float32", "sdpa")),
    ],
)
def test_another_plan_must_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[tuple[str, str], float],
    expected: tuple[str, str],
) -> None:
    usual = {(plan.dtype, plan.attention): 0.1 for plan in CPU_PLANS}
    found = fastest(CPU_PLANS, Watch(monkeypatch).steps(usual | seconds))
    assert (found.dtype, found.attention) == expected
    assert found.seconds_per_step == pytest.approx((usual | seconds)[expected])


@pytest.mark.parametrize(
    ("times", "found", "steps"),
    [
        ([0.5] * 5, 0.5, 3),
        ([1.4, 1.0, 0.5], 0.5, 3),
        ([0.5, 0.5, 0.9], None, 3),
        ([1.6], None, 1),  # the first step is slower than others, but not by so much
    ],
)
def test_what_is_far_slower_is_not_timed_twice(
    monkeypatch: pytest.MonkeyPatch, times: list[float], found: float | None, steps: int
) -> None:
    watch, left = Watch(monkeypatch), list(times)

    def step() -> None:
        watch.now += left.pop(0)

    assert clearly_faster(step, 1.0) == (None if found is None else pytest.approx(found))
    assert len(times) - len(left) == steps


@pytest.mark.parametrize(
    ("times", "found", "steps"),
    [
        ([0.9] * 5, 0.9, 1),
        ([1.0, 0.5], 0.5, 2),  # the first may have been slow because it was the first
        ([5.0, 2.0, 1.0], 2.0, 2),
    ],
)
def test_a_first_step_that_is_fast_enough_settles_it(
    monkeypatch: pytest.MonkeyPatch, times: list[float], found: float, steps: int
) -> None:
    watch, left = Watch(monkeypatch), list(times)

    def step() -> None:
        watch.now += left.pop(0)

    assert precision.step_seconds(step, enough=1.0) == pytest.approx(found)
    assert len(times) - len(left) == steps


def test_a_single_plan_is_timed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a training will take is estimated from its step."""
    only = Plan(dtype="bfloat16", attention="eager")
    found = fastest((only,), Watch(monkeypatch).steps({("bfloat16", "eager"): 0.2}))
    assert found.seconds_per_step == pytest.approx(0.2)


@pytest.mark.parametrize(("low", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_keeps_fused_attention_unless_the_plain_one_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, low: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: low)
    found = plans(torch.device("cuda"), ("eager", "sdpa"))
    assert found == tuple(Plan(dtype=dtype, attention=name) for name in ("sdpa", "eager"))


@pytest.mark.parametrize(
    ("low", "expected"), [(2e11, CPU_PLANS), (0.9e11, CPU_PLANS), (1e9, CPU_PLANS[:2])]
)
def test_low_precision_is_timed_only_where_its_products_are_not_emulated(
    monkeypatch: pytest.MonkeyPatch, low: float, expected: tuple[Plan, ...]
) -> None:
    """A step that emulates them takes a hundred times as long: minutes before the first trial."""
    monkeypatch.setattr(
        precision, "matmul_rates", lambda *_, **__: {"float32": 1e11, "bfloat16": low}
    )
    assert plans(CPU, ("eager", "sdpa")) == expected


def test_plan_is_plain_json() -> None:
    plan = Plan(dtype="bfloat16", attention="eager", seconds_per_step=0.5)
    assert Plan(**plan.to_json()) == plan
    assert plan.torch_dtype is torch.bfloat16


def test_rates_of_matrix_products_are_positive() -> None:
    rates = matmul_rates(CPU, width=32)
    assert set(rates) == {"float32", "bfloat16"}
    assert all(rate > 0 for rate in rates.values())
