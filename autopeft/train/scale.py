"""Numbers as targets: trained in standard units, delivered in the user's.

A head starts near zero and learns slowly in steps of the learning rate, so prices in the thousands
would not train. Training therefore sees (y − centre) / spread, and afterwards the head's last layer
is rescaled, so that the delivered model gives the user's units without knowing of any scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autopeft.backbone.head import in_head

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The affine map between the user's units and those of training; the identity by default.

    Args:
        centre: value that training sees as 0.
        spread: difference that training sees as 1.
    """

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, targets: Values, *, centred: bool) -> Scale:
        """Return the scale that gives `targets` (N,) a standard deviation of 1.

        Args:
            targets: of the training split.
            centred: whether the mean becomes 0; only a head with a bias can undo that.
        """
        wide = np.asarray(targets, np.float64)
        return cls(centre=float(wide.mean()) if centred else 0.0, spread=float(wide.std()) or 1.0)

    def shrink(self, values: Values) -> Values:
        """Return the user's values in the units of training, as float32."""
        return ((np.asarray(values, np.float64) - self.centre) / self.spread).astype(np.float32)

    def restore(self, values: Values) -> Values:
        """Return outputs of a model in training in the user's units."""
        return values * self.spread + self.centre

    def fold(self, layer: nn.Linear) -> None:
        """Make a layer that gave the units of training give the user's."""
        with torch.no_grad():
            layer.weight.mul_(self.spread)
            if layer.bias is not None:
                layer.bias.mul_(self.spread).add_(self.centre)

    def unfold(self, layer: nn.Linear) -> None:
        """Undo `fold`, for a head that was tuned before and gives the user's units."""
        with torch.no_grad():
            layer.weight.div_(self.spread)
            if layer.bias is not None:
                layer.bias.sub_(self.centre).div_(self.spread)


def output_layer(model: nn.Module, heads: Iterable[str]) -> tuple[str, nn.Linear]:
    """Return the last layer of the head, the one that gives the outputs, and its name.

    Args:
        model: a backbone, or a model adapted over it.
        heads: names of the head's modules in the backbone.
    """
    heads = tuple(heads)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and "original_module" not in name.split(".")
        and in_head(_own_name(name), heads)
    ]
    return found[-1]


def _own_name(name: str) -> str:
    """Return the name that a module of a peft model has in the backbone."""
    return name.removeprefix("base_model.model.").removeprefix("base_model.")
