"""Many models over one frozen backbone: new module trees, the same weights in memory."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

ModelT = TypeVar("ModelT", bound="nn.Module")


def share(model: ModelT, private: Callable[[str], bool] = lambda _: False) -> ModelT:
    """Return a new module tree over the same weights.

    Parameters become new frozen objects over the old storage, so that neither ``requires_grad``
    nor a change of dtype or device of the copy reaches the original; only writing into a weight
    in place would. Buffers are shared likewise. Tied weights stay tied.

    Args:
        model: the model to share.
        private: from a parameter's name, whether the copy gets storage of its own because it will
            be written to.
    """
    from torch import nn

    memo: dict[int, object] = {}
    for name, parameter in model.named_parameters():
        data = parameter.detach()
        data = data.clone() if private(name) else data
        memo[id(parameter)] = nn.Parameter(data, requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach()
    return copy.deepcopy(model, memo)


def checksum(model: nn.Module) -> str:
    """Return a digest of every parameter and buffer, to show that nobody wrote into them."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()
