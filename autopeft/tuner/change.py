"""Adds to the states of a pack what groups of its members make of their own share.

Written with its own way back, because there the gradient of a change is a view of that of the
result, and the gradient of the state is the same tensor; put together from slices and
concatenations, each would be copied several times at every site.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopeft.tuner.runs import Runs


def changed(target: Tensor, runs: Runs, changes: Sequence[Tensor]) -> Tensor:
    """Return the states (n·B, …) with the changes added, in their dtype.

    Args:
        target: of the whole pack (n·B, …).
        runs: of the groups.
        changes: by group (m, B, …); without dimensions that are the same for all rows, tokens and
            so on, such as (m, width) for (m, B, S, width).
    """
    result: Tensor = _Changed.apply(target, runs, *changes)  # type: ignore[no-untyped-call]
    return result


class _Changed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, target: Tensor, runs: Runs, *changes: Tensor) -> Tensor:
        ctx.runs, ctx.like = runs, [(change.shape, change.dtype) for change in changes]
        result = torch.empty_like(target, memory_format=torch.contiguous_format)
        before, after = runs.split(target), runs.split(result)
        untouched = set(range(len(runs.lengths)))
        for own, change in zip(runs.places, changes, strict=True):
            aligned = change.to(target.dtype).reshape(_aligned(change.shape, before[0].dim()))
            pieces = torch.split(aligned, [runs.lengths[run] for run in own])
            for run, piece in zip(own, pieces, strict=True):
                torch.add(before[run], piece, out=after[run])
            untouched.difference_update(own)
        for run in untouched:
            after[run].copy_(before[run])
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pieces = ctx.runs.split(gradient)
        found: list[Tensor | None] = []
        for group, (shape, dtype) in enumerate(ctx.like):
            if not ctx.needs_input_grad[2 + group]:
                found.append(None)
                continue
            mine = ctx.runs.joined(pieces, group)
            summed = mine.sum_to_size(_aligned(shape, mine.dim()))
            found.append(summed.reshape(shape).to(dtype))
        return (gradient, None, *found)


def _aligned(shape: torch.Size, dims: int) -> tuple[int, ...]:
    """Return the shape of a change with the dimensions that it lacks, of length 1."""
    return (shape[0], *[1] * (dims - len(shape)), *shape[1:])
