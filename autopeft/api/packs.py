"""Sorting what waits to be trained into packs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

One = TypeVar("One")


def take_pack(
    waiting: list[One],
    most: int,
    *,
    key: Callable[[One], Hashable | None],
    fits: Callable[[Sequence[One]], bool],
) -> list[One]:
    """Take the first that waits, and what can share a pass with it; the others go on waiting.

    Args:
        waiting: at least one; loses what is taken.
        most: size of the pack, at least 1 whatever it says.
        key: what all of a pack have in common; None for one that goes alone.
        fits: whether there is room for so many together; asked of two or more.

    >>> waiting = ["ant", "bee", "axe", "ape"]
    >>> take_pack(waiting, 2, key=lambda word: word[0], fits=lambda some: True), waiting
    (['ant', 'axe'], ['bee', 'ape'])
    """
    pack = [waiting.pop(0)]
    wanted = key(pack[0])
    for one in list(waiting):
        if len(pack) >= most or wanted is None:
            break
        if key(one) == wanted and fits([*pack, one]):
            waiting.remove(one)
            pack.append(one)
    return pack
