"""Adds to the states of a pack what groups of its members make of their own share.

Written with its own way back, because there the gradient of a change is a view of that of the
result, and the gradient of the state is the same tensor; put together from slices and
concatenations, each would be copied several times at every site.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from autopeft.tuner.runs import Runs, shares


def changed(
    target: Tensor, runs: Runs, groups: Sequence[Collection[int]], changes: Sequence[Tensor]
) -> Tensor:
    """Return the states (n·B, …) with the changes added, in their dtype.

    Args:
        target: of the whole pack (n·B, …).
        runs: made of these groups.
        groups: the members of each.
        changes: by group (m, B, …); without dimensions that are the same for all rows, tokens and
            so on, such as (m, width) for (m, B, S, width).
    """
    places = [runs.within(members) for members in groups]
    result: Tensor = _Changed.apply(target, runs, places, *changes)  # type: ignore[no-untyped-call]
    return result


class _Changed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, target: Tensor, runs: Runs, places: list[list[int]], *changes: Tensor
    ) -> Tensor:
        ctx.runs, ctx.places = runs, places
        ctx.like = [(change.shape, change.dtype) for change in changes]
        whole = shares(target, runs.size)
        result = torch.empty_like(whole)
        before, after = _split(whole, runs), _split(result, runs)
        untouched = set(range(len(runs.bounds)))
        for own, change in zip(places, changes, strict=True):
            aligned = change.to(whole.dtype).reshape(_aligned(change.shape, whole.dim()))
            lengths = [len(before[run]) for run in own]
            for run, piece in zip(own, torch.split(aligned, lengths), strict=True):
                torch.add(before[run], piece, out=after[run])
            untouched.difference_update(own)
        for run in untouched:
            after[run].copy_(before[run])
        return result.view(target.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pieces = _split(shares(gradient, ctx.runs.size), ctx.runs)
        found: list[Tensor | None] = []
        needed = ctx.needs_input_grad[3:]
        for own, (shape, dtype), asked in zip(ctx.places, ctx.like, needed, strict=True):
            if not asked:
                found.append(None)
                continue
            mine = pieces[own[0]] if len(own) == 1 else torch.cat([pieces[run] for run in own])
            summed = mine.sum_to_size(_aligned(shape, mine.dim()))
            found.append(summed.reshape(shape).to(dtype))
        return (gradient, None, None, *found)


def _split(whole: Tensor, runs: Runs) -> list[Tensor]:
    """Return the runs (r, B, …) of a state (n, B, …)."""
    return [whole[first:end] for first, end in runs.bounds]


def _aligned(shape: torch.Size, dims: int) -> tuple[int, ...]:
    """Return the shape of a change with the dimensions that it lacks, of length 1."""
    return (shape[0], *[1] * (dims - len(shape)), *shape[1:])
