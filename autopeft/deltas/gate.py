"""Gate: how much of a delta an example gets."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """g = mean over real tokens of sigmoid(w·h + b): one number per example.

    Paper: Mao et al. (2022), UniPELT: A Unified Framework for Parameter-Efficient Language Model
    Tuning. The authors' mean ran over padding too, which lets padding change the result.

    Shapes: h (B, S, width), mask (B, S) with 1 for real tokens, g (B, 1, 1).
    Initialisation: of `nn.Linear`, so g starts near a half.
    Trained: width + 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        each = torch.sigmoid(self.linear(h.to(self.linear.weight.dtype)))
        if mask is None:
            return each.mean(dim=1, keepdim=True)
        real = mask.to(each.dtype)[:, :, None]
        return (each * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True).clamp(min=1)
