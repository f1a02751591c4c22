"""What every delta is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from autopeft.deltas import Part


class Delta(nn.Module):
    """A change of one hidden state, zero at initialisation where the paper has it so.

    Class attributes:
        name: in a `Part`.
        linear: whether Δh is a linear map of the module's input, or a constant, so that `folded`
            can write it into the module's weights.
        folds: the pairs of `Part.reads` and `Part.changes` for which `folded` holds.
        reads_weight: whether ``forward`` takes the frozen module's weight (fan_out, fan_in) too,
            as its keyword ``weight``.
        reads_output: whether ``forward`` takes the frozen module's output (…, fan_out) too, as its
            keyword ``output``.
        reads_mask: whether ``forward`` takes the mask (B, S) too, 1 for real tokens, or None where
            all are real, as its keyword ``mask``.
        low_precision: whether ``forward`` takes states in the backbone's dtype and computes in it,
            with weights that stay float32; to others they come in the dtype of their weights.
    """

    name: ClassVar[str]
    linear: ClassVar[bool] = False
    folds: ClassVar[tuple[tuple[str, str], ...]] = (("input", "output"),)
    reads_weight: ClassVar[bool] = False
    reads_output: ClassVar[bool] = False
    reads_mask: ClassVar[bool] = False
    low_precision: ClassVar[bool] = False

    @classmethod
    def of(cls, part: Part, base: nn.Module) -> Self:
        """Return the delta of a part, for the frozen module it sits at."""
        del base
        return cls(part.fan_in, part.fan_out, **part.settings)

    @classmethod
    def shared(cls, part: Part) -> nn.Module | None:
        """Return the weights that all parts with the same `Part.shares` use, if it has any.

        ``forward`` and `folded` then take that module as their keyword ``shared``.
        """
        del part
        return None

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return a projection's weight (fan_out, fan_in) and bias with Δh folded in.

        Raises:
            NotImplementedError: Δh is not a linear map.
        """
        raise NotImplementedError(f"{self.name} is no linear map, so it cannot be merged")


def drawn(*shape: int) -> Tensor:
    """Return matrices (…, rows, columns), each drawn as `nn.Linear` draws its own.

    That is Kaiming-uniform(√5): evenly between ±1/√columns.
    """
    bound = 1 / math.sqrt(shape[-1])
    return torch.empty(shape).uniform_(-bound, bound)


def precision(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's parameters, float32 without any.

    They are in float32 unless a user casts the whole model.
    """
    return next((parameter.dtype for parameter in module.parameters()), torch.float32)


def frozen_weight(module: nn.Module) -> Tensor:
    """Return a frozen module's weight in float32, a projection's as (fan_out, fan_in)."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return (weight.data.T if transposed(module) else weight.data).float()


def transposed(module: nn.Module) -> bool:
    """Return whether the module stores its weight as (fan_in, fan_out), as GPT-2 does."""
    return type(module).__name__ == "Conv1D"
