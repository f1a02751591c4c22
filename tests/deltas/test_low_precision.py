"""Deltas that compute in the backbone's dtype do what they do in float32, up to its rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autopeft.deltas import DELTAS, Part
from autopeft.deltas.delta import Delta, frozen_weight

WIDTH = 32
SETTINGS: dict[str, dict[str, Any]] = {
    "low_rank": {"r": 4, "alpha": 8},
    "bottleneck": {"width": 8},
    "hypercomplex": {"width": 8, "n": 4},
    "kronecker": {"terms": 4, "side": 4},
    "low_rank_within": {"r": 4, "alpha": 8, "begins": "principal"},
    "weight_decomposed": {"r": 4, "alpha": 8},
    "hadamard": {"r": 4, "alpha": 8},
    "kronecker_product": {"rows": 4, "columns": 4, "low": True, "r": 2, "alpha": 8, "factor": 4},
    "dynamic_lowrank": {"r": 4},
    "random_projection": {"r": 16, "widest_in": 40, "widest_out": 40, "d_initial": 0.1},
}
LOW = sorted(delta.name for delta in DELTAS if delta.low_precision)
ROUNDING = 0.02
"""Of bfloat16, 2⁻⁸ for each of the few products that a value goes through."""


def test_the_deltas_that_most_methods_use_are_among_them() -> None:
    assert {*SETTINGS, "scale", "bias", "norm"} <= set(LOW)


@pytest.mark.parametrize("name", LOW)
def test_low_precision_rounds_and_no_more(name: str) -> None:
    torch.manual_seed(0)
    base = nn.LayerNorm(WIDTH) if name == "norm" else nn.Linear(WIDTH, WIDTH)
    settings = SETTINGS.get(name, {})
    part = Part(
        delta=name,
        module="m",
        site="attn.q",
        layer=0,
        fan_in=WIDTH,
        fan_out=WIDTH,
        settings=settings,
    )
    kind = DELTAS.get(name)
    delta = kind.of(part, base)
    shared = kind.shared(part)
    extra: dict[str, Any] = {} if shared is None else {"shared": shared}
    trained = [*delta.parameters(), *(shared.parameters() if shared is not None else ())]
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(torch.randn(parameter.shape), alpha=0.3)
    states = torch.randn(4, 5, WIDTH)
    if delta.reads_weight:
        extra["weight"] = frozen_weight(base)
    if delta.reads_output:
        extra["output"] = base(states).detach()
    exact = _change_and_gradients(delta, states, trained, extra)
    if delta.reads_output:
        extra["output"] = extra["output"].bfloat16()
    low = _change_and_gradients(delta, states.bfloat16(), trained, extra)
    if name != "bias":  # which reads nothing
        assert low[0].dtype == torch.bfloat16
    for found, wanted in zip(low, exact, strict=True):
        assert (found.float() - wanted).norm() <= ROUNDING * wanted.norm()
    assert all(gradient.dtype == torch.float32 for gradient in low[1:])


def _change_and_gradients(
    delta: Delta, states: torch.Tensor, trained: list[nn.Parameter], extra: dict[str, Any]
) -> list[torch.Tensor]:
    change = delta(states, **extra)
    return [change, *torch.autograd.grad(change.float().square().sum(), trained)]
