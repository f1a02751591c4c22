"""The weights of several modules of one form, stacked, so that `torch.vmap` takes them at once.

They are stacked anew in every pass, or, while a `Holding` has them, once: the weights that are
trained then lie in one tensor, of which each module's own parameter is a row. A step that trains n
candidates then needs no copy of n weights and no copy of n gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn


class Stacked:
    """Weights and buffers of m modules of one form.

    Args:
        modules: they keep their parameters themselves.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._each = [dict((*m.named_parameters(), *m.named_buffers())) for m in modules]
        self._held: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Return by name what all modules have, stacked (m, …)."""
        return {
            name: self._held[name]
            if name in self._held
            else torch.stack([own[name] for own in self._each])
            for name in self._each[0]
        }

    def trained(self) -> dict[str, tuple[nn.Parameter, ...]]:
        """Return by name the parameters (m) that every module trains."""
        found = {}
        for name in self._each[0]:
            same = [own[name] for own in self._each]
            trained = tuple(w for w in same if isinstance(w, nn.Parameter) and w.requires_grad)
            if len(trained) == len(same):
                found[name] = trained
        return found

    def hold(self, name: str, whole: Tensor) -> None:
        """Take `whole` (m, …) for the weights of a name from now on."""
        self._held[name] = whole

    def let_go(self) -> None:
        """Stack everything anew again."""
        self._held.clear()


class Holding:
    """Keeps the trained weights of several `Stacked` in one tensor each while it is entered.

    Parameters and their gradients become rows of what is stacked. At the end each parameter owns
    its memory again, and its gradient is gone. A gradient must be set to zero in place, as one that
    is replaced is no row any more.

    Args:
        stacks: a parameter that is shared between several of them is held where all share it with
            the same neighbours, and otherwise stacked anew in every pass.
    """

    def __init__(self, stacks: Iterable[Stacked]) -> None:
        self._stacks = tuple(stacks)
        self._parameters: list[nn.Parameter] = []

    def __enter__(self) -> Self:
        places: dict[tuple[nn.Parameter, ...], list[tuple[Stacked, str]]] = {}
        for stack in self._stacks:
            for name, same in stack.trained().items():
                places.setdefault(same, []).append((stack, name))
        for same in _apart(places):
            whole = _rows_of_one(same)
            for stack, name in places[same]:
                stack.hold(name, whole)
            self._parameters += same
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stack in self._stacks:
            stack.let_go()
        for parameter in self._parameters:
            parameter.data, parameter.grad = parameter.detach().clone(), None
        self._parameters.clear()


def _apart(found: Iterable[tuple[nn.Parameter, ...]]) -> list[tuple[nn.Parameter, ...]]:
    """Return those that have no parameter in common with another or with themselves."""
    ways = list(found)
    often: dict[nn.Parameter, int] = {}
    for same in ways:
        for parameter in same:
            often[parameter] = often.get(parameter, 0) + 1
    return [same for same in ways if all(often[parameter] == 1 for parameter in same)]


def _rows_of_one(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return a leaf (m, …) with a gradient of zeros, whose rows the parameters become."""
    whole = torch.stack([parameter.detach() for parameter in parameters]).requires_grad_()
    whole.grad = torch.zeros_like(whole)
    rows = zip(parameters, whole.detach().unbind(), whole.grad.unbind(), strict=True)
    for parameter, row, gradient in rows:
        parameter.data, parameter.grad = row, gradient
    return whole
