"""Norm: Δh = γ ⊙ n + β, whatever the kind of norm."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.deltas.common import (
    assert_packs_equal_one_by_one,
    assert_size_is_exact,
    close,
    made_from,
    part_of,
    randomised,
    state,
)

WIDTH = 6


def standardised(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def over_root_mean_square(x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


NORMS = {
    "layer": (lambda: nn.LayerNorm(WIDTH, eps=1e-5), standardised, 1e-5),
    "layer_without_bias": (lambda: nn.LayerNorm(WIDTH, bias=False), standardised, 1e-5),
    "rms": (lambda: LlamaRMSNorm(WIDTH, eps=1e-6), over_root_mean_square, 1e-6),
    "one_plus_weight": (lambda: GemmaRMSNorm(WIDTH, eps=1e-6), over_root_mean_square, 1e-6),
    "one_plus_weight_3": (lambda: Gemma3RMSNorm(WIDTH, eps=1e-6), over_root_mean_square, 1e-6),
}


def frozen(kind: str) -> nn.Module:
    return randomised(NORMS[kind][0](), 3).requires_grad_(False)


def part(base: nn.Module):
    bias = getattr(base, "bias", None) is not None
    return part_of("norm", fan_in=WIDTH, fan_out=WIDTH, settings={"bias": bias})


@pytest.mark.parametrize("kind", NORMS)
def test_equation(kind: str) -> None:
    base, x = frozen(kind), state(WIDTH)
    _, normalised, eps = NORMS[kind]
    delta = made_from(part(base), base, seed=1)
    expected = delta.gain * normalised(x, eps)
    if delta.offset is not None:
        expected = expected + delta.offset
    torch.testing.assert_close(delta(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", NORMS)
def test_is_the_norm_with_its_weights_changed(kind: str) -> None:
    base, x = frozen(kind), state(WIDTH)
    delta = made_from(part(base), base, seed=1)
    changed = copy.deepcopy(base)
    with torch.no_grad():
        weight, bias = delta.folded(base.weight, getattr(base, "bias", None))
        changed.weight.copy_(weight)
        if bias is not None:
            changed.bias.copy_(bias)
    torch.testing.assert_close(base(x) + delta(x), changed(x), rtol=1e-5, atol=1e-5)
    assert not close(changed(x), base(x))


@pytest.mark.parametrize("kind", NORMS)
def test_starts_at_zero(kind: str) -> None:
    base = frozen(kind)
    assert not made_from(part(base), base)(state(WIDTH)).any()


@pytest.mark.parametrize("kind", NORMS)
def test_size(kind: str) -> None:
    base = frozen(kind)
    assert_size_is_exact(part(base), base)


@pytest.mark.parametrize("kind", NORMS)
def test_packs_equal_one_by_one(kind: str) -> None:
    base = frozen(kind)
    members = [made_from(part(base), base, seed=index) for index in range(3)]
    assert_packs_equal_one_by_one(members, state(WIDTH))


def test_norm_without_values_is_accepted() -> None:
    base = GemmaRMSNorm(WIDTH).to("meta")
    delta = made_from(part(base), base)
    assert delta.gain.shape == (WIDTH,)


def test_frozen_norm_is_left_alone() -> None:
    base = frozen("layer")
    before, x = copy.deepcopy(base.state_dict()), state(WIDTH)
    delta = made_from(part(base), base, seed=1)
    delta(x).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert {name for name, _ in delta.named_parameters()} == {"gain", "offset"}
