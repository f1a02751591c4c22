"""Widened products of bfloat16 are what torch computes, gradients included."""

from __future__ import annotations

import contextlib

import torch
from torch.func import vmap
from torch.nn import functional

from benchmarks.speed.widened import WidenedProducts


def attended(mode: contextlib.AbstractContextManager[object]) -> list[torch.Tensor]:
    """Return what a small attention over bfloat16 computes, and its gradients."""
    generator = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(shape, generator=generator).bfloat16().requires_grad_()
        for shape in ((2, 16, 32), (24, 32), (24,))
    )
    with mode:
        keys = functional.linear(x, w, bias=b)
        weights = torch.softmax(keys @ keys.transpose(1, 2) / 24**0.5, dim=-1)
        values = torch.bmm(weights, keys)
        each = vmap(lambda one: one.matmul(w))(values)
    grads = torch.autograd.grad(each.float().square().mean(), (x, w, b))
    return [keys, values, each, *grads]


def test_widened_products_are_those_of_torch() -> None:
    for ours, theirs in zip(
        attended(WidenedProducts()), attended(contextlib.nullcontext()), strict=True
    ):
        assert ours.dtype == theirs.dtype == torch.bfloat16
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=1e-5)


def test_only_products_of_bfloat16_are_widened() -> None:
    one = torch.ones(4, 4, requires_grad=True)
    with WidenedProducts():
        low, full = one.bfloat16() @ one.bfloat16(), one @ one
    assert (low.grad_fn.name(), full.grad_fn.name()) == ("ToCopyBackward0", "MmBackward0")
