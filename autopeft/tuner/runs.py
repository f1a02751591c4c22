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
        bounds: of each run, the first member and the one after the last.
    """

    def __init__(self, size: int, groups: Sequence[Collection[int]]) -> None:
        self.size = size
        group_of = {member: number for number, own in enumerate(groups) for member in own}
        same = (list(run) for _, run in groupby(range(size), key=group_of.get))
        self.bounds = [(run[0], run[-1] + 1) for run in same]
        self._known: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}

    def within(self, members: Collection[int]) -> list[int]:
        """Return the numbers of the runs that a group is made of."""
        return [number for number, (first, _) in enumerate(self.bounds) if first in members]

    def of(self, state: Tensor, members: Collection[int]) -> Tensor:
        """Return a group's rows (m, B, …) of those of the pack (n·B, …)."""
        if len(members) == self.size:
            return shares(state, self.size)
        if id(state) not in self._known:
            lengths = [end - first for first, end in self.bounds]
            self._known[id(state)] = (state, torch.split(shares(state, self.size), lengths))
        own = [self._known[id(state)][1][number] for number in self.within(members)]
        return own[0] if len(own) == 1 else torch.cat(own)

    def forget(self) -> None:
        """Let go of all states."""
        self._known.clear()


def shares(state: Tensor, size: int) -> Tensor:
    """Return (n, B, …) from the rows (n·B, …) of a pack."""
    return state.reshape(size, -1, *state.shape[1:])
