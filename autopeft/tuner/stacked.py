"""The weights of several modules of one form, stacked, so that `torch.vmap` takes them at once.

They are stacked anew in every pass, or once, while they are `held`: then what is trained lies in
one tensor, of which each module's own parameter is a row, and a step copies neither the weights of
n candidates nor their gradients.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn


class Stacked:
    """Weights and buffers of m modules of one form.

    Args:
        modules: they keep their parameters themselves.

    Attributes:
        held: what is not stacked anew in every pass, by name (m, …).
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._each = [dict((*m.named_parameters(), *m.named_buffers())) for m in modules]
        self.held: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Return by name what all modules have, stacked (m, …)."""
        anew = {
            name: torch.stack([own[name] for own in self._each])
            for name in self._each[0]
            if name not in self.held
        }
        return {**anew, **self.held}

    def trained(self) -> dict[str, tuple[nn.Parameter, ...]]:
        """Return by name the parameters (m) that every module trains."""
        found = {}
        for name in self._each[0]:
            same = [own[name] for own in self._each]
            trained = tuple(w for w in same if isinstance(w, nn.Parameter) and w.requires_grad)
            if len(trained) == len(same):
                found[name] = trained
        return found


@contextlib.contextmanager
def held(stacks: Iterable[Stacked]) -> Iterator[None]:
    """Keep the trained weights of several `Stacked` in one tensor each for a while.

    Parameters and their gradients become rows of what is stacked; at the end each parameter owns
    its memory again, and its gradient is gone. A gradient must be set to zero in place: one that
    replaces it would be no row.

    Args:
        stacks: a parameter that they share is held if all share it with the same neighbours, and
            otherwise stacked anew in every pass.
    """
    places: dict[tuple[nn.Parameter, ...], list[tuple[Stacked, str]]] = {}
    for stack in stacks:
        for name, same in stack.trained().items():
            places.setdefault(same, []).append((stack, name))
    often = Counter(parameter for same in places for parameter in same)
    alone = [same for same in places if all(often[parameter] == 1 for parameter in same)]
    for same in alone:
        whole = _rows_of_one(same)
        for stack, name in places[same]:
            stack.held[name] = whole
    try:
        yield
    finally:
        for same in alone:
            for stack, name in places[same]:
                del stack.held[name]
            for parameter in same:
                parameter.data, parameter.grad = parameter.detach().clone(), None


def _rows_of_one(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return a leaf (m, …) with a gradient of zeros, whose rows the parameters become."""
    whole = torch.stack([parameter.detach() for parameter in parameters]).requires_grad_()
    whole.grad = torch.zeros_like(whole)
    rows = zip(parameters, whole.detach().unbind(), whole.grad.unbind(), strict=True)
    for parameter, row, gradient in rows:
        parameter.data, parameter.grad = row, gradient
    return whole
