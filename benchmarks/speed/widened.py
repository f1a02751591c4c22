"""Products of bfloat16 on a processor that has no units for them.

Such units multiply bfloat16 numbers, add up in float32 and round the sum. The same comes of
widening the factors, multiplying in float32 and rounding the product, which is far quicker than
what torch does there: enough to see what bfloat16 does to accuracy where it would not be used for
its speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from benchmarks.speed.contender import Contender, Outcome

_PRODUCTS = frozenset(
    {
        functional.linear,
        torch.matmul,
        torch.bmm,
        torch.mm,
        torch.addmm,
        torch.baddbmm,
        torch.Tensor.matmul,
        torch.Tensor.__matmul__,
        torch.Tensor.__rmatmul__,
        torch.Tensor.bmm,
        torch.Tensor.mm,
    }
)


class WidenedProducts(TorchFunctionMode):
    """While it is entered, matrix products of bfloat16 are computed in float32 and rounded.

    Their gradients too: a float32 product has float32 products in its backward pass, whose results
    are rounded where the factors were widened.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func in _PRODUCTS and _is_low(args[0]):
            wide = {name: _widen(value) for name, value in kwargs.items()}
            return func(*map(_widen, args), **wide).to(torch.bfloat16)
        return func(*args, **kwargs)


def widened(contender: Contender) -> Contender:
    """Return a contender whose products of bfloat16 are widened."""

    def train(seed: int) -> Outcome:
        with WidenedProducts():
            return contender(seed)

    return train


def _is_low(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


def _widen(value: Any) -> Any:
    return value.float() if _is_low(value) else value
