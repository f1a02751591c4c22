"""Over a backbone of 16 bit, adapters begin with the very weights that they were made with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopeft.tuner import DeltaLayer
from tests.tuner.common import adapted, apart, config, logits, parts, tiny, wrapped


@pytest.mark.parametrize("method", ["dora", "pissa", "olora", "lora", "prefix", "unipelt"])
def test_no_initial_weight_is_rounded(tiny_folder: Callable[[str], Path], method: str) -> None:
    model = tiny(tiny_folder("bert")).to(torch.bfloat16)
    some = parts(model, method)
    torch.manual_seed(0)
    made = wrapped(model, config(some, model))
    found = [
        value
        for layer in made.modules()
        if isinstance(layer, DeltaLayer)
        for value in (*layer.autopeft_deltas.parameters(), *layer.autopeft_deltas.buffers())
    ]
    assert found and all(value.dtype == torch.float32 for value in found)
    drawn = [value for value in found if len(value.unique()) > 2]
    assert drawn, "weights that are all alike say nothing"
    assert any((value.bfloat16().float() != value).any() for value in drawn)


def test_dora_begins_with_the_norms_of_the_weight(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert")).to(torch.bfloat16)
    made = wrapped(model, config(parts(model, "dora"), model))
    layer = next(module for module in made.modules() if isinstance(module, DeltaLayer))
    (delta,) = layer.deltas().deltas
    norms = layer.get_base_layer().weight.float().norm(dim=1)
    assert torch.equal(delta.magnitude, norms)


OURS = (
    "houlsby", "scaled_parallel_adapter", "mam", "compacter", "kadaptation", "dsee", "tarp", "tams",
    "prefix", "attempt", "unipelt", "mixture", "prefix_adapter_ln",
)  # fmt: skip
"""Methods whose artifacts are our own."""


def small(model: Any, method: str) -> Any:
    """Return an adapted model whose products of weights are not all rounding."""
    tuned = adapted(model, parts(model, method))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if ".autopeft_" in name:
                parameter.mul_(0.3)
    return tuned


@pytest.mark.parametrize("method", OURS)
def test_a_whole_model_may_be_cast(tiny_folder: Callable[[str], Path], method: str) -> None:
    tuned = small(tiny(tiny_folder("bert")), method)
    expected = logits(tuned)
    low = logits(tuned.to(torch.bfloat16))
    assert low.dtype == torch.bfloat16
    assert apart(low.float(), expected) < 0.1 * expected.abs().max()


@pytest.mark.parametrize("method", OURS)
def test_autocast_may_be_around_it(tiny_folder: Callable[[str], Path], method: str) -> None:
    tuned = small(tiny(tiny_folder("bert")), method)
    expected = logits(tuned)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = logits(tuned)
    assert apart(low.float(), expected) < 0.1 * expected.abs().max()
