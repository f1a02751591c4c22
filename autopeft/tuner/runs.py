"""Runs of neighbours in a pack, so that what a group of candidates reads is a view."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

import torch
from torch import Tensor


class Runs:
    """Takes states of a pack apart by who acts together; what was taken apart once is not again.

    Args:
        size: how many members the pack has.
        groups: the members of each group; a member is in one group or in none.

    Attributes:
        lengths: of each run, how many members it has.
        places: of each group, the numbers of the runs that it is made of.
    """

    def __init__(self, size: int, groups: Sequence[Collection[int]]) -> None:
        self.size = size
        group_of = {member: number for number, own in enumerate(groups) for member in own}
        same = [(owner, len(list(run))) for owner, run in groupby(range(size), key=group_of.get)]
        self.lengths = [length for _, length in same]
        owners = [owner for owner, _ in same]
        self.places = [
            [number for number, owner in enumerate(owners) if owner == group]
            for group in range(len(groups))
        ]
        self._known: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}

    def split(self, state: Tensor) -> tuple[Tensor, ...]:
        """Return the runs (r, B, …) of the rows (n·B, …) of the pack, as views."""
        whole = shares(state, self.size)
        return (whole,) if len(self.lengths) == 1 else torch.split(whole, self.lengths)

    def of(self, state: Tensor, group: int) -> Tensor:
        """Return the rows (m, B, …) of the group of that number, of those of the pack (n·B, …)."""
        if id(state) not in self._known:
            self._known[id(state)] = (state, self.split(state))
        return self.joined(self._known[id(state)][1], group)

    def joined(self, runs: Sequence[Tensor], group: int) -> Tensor:
        """Return the rows (m, B, …) of a group, of all runs."""
        own = [runs[number] for number in self.places[group]]
        return own[0] if len(own) == 1 else torch.cat(own)

    def forget(self) -> None:
        """Let go of all states."""
        self._known.clear()


def shares(state: Tensor, size: int) -> Tensor:
    """Return (n, B, …) from the rows (n·B, …) of a pack."""
    return state.reshape(size, -1, *state.shape[1:])
