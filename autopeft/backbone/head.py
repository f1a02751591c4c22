"""The head: what has to be trained on the task's own labels whatever the method.

It is every child outside ``base_model_prefix`` plus the deepest modules whose weights the
checkpoint lacks or holds in another shape; never the backbone itself. A checkpoint without pooler
lacks ``bert.pooler.dense``; an already tuned one lacks nothing; another number of labels shows
only as a mismatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from autopeft.backbone.seed import seeded

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def fresh_modules(missing: Iterable[str], mismatched: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that own missing or mismatched weights, sorted by name."""
    return tuple(sorted({key.rpartition(".")[0] for key in (*missing, *mismatched)}))


def head_modules(model: PreTrainedModel, fresh: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the modules that make up the head, none inside another.

    Args:
        model: the model with its head.
        fresh: modules that were newly initialised, see `fresh_modules`.
    """
    prefix = model.base_model_prefix
    children = [
        name
        for name, child in model.named_children()
        if name != prefix and any(True for _ in child.parameters())
    ]
    inside = tuple(f"{name}." for name in children)
    return (*children, *(n for n in fresh if n not in children and not n.startswith(inside)))


def in_head(name: str, heads: Iterable[str]) -> bool:
    """Return whether a parameter or module of that name belongs to one of `heads`."""
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def reset_heads(model: PreTrainedModel, fresh: Iterable[str], seed: int) -> None:
    """Draw the fresh head modules anew, as the architecture initialises them.

    The draw depends on the seed alone: the global random state is left as it was. Some
    architectures initialise a head from the module above it, so those are visited too, with every
    other weight marked as loaded, which transformers' initialisers leave alone.
    """
    import torch

    fresh = tuple(fresh)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        tensor._is_hf_initialized = not in_head(name, fresh)
    with seeded(seed, model.device), torch.no_grad():
        for name in fresh:
            for module in (*_post_order(model.get_submodule(name)), *_above(model, name)):
                model._init_weights(module)


def _post_order(module: nn.Module) -> list[nn.Module]:
    return [m for child in module.children() for m in _post_order(child)] + [module]


def _above(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the modules that contain `name`, innermost first, the model itself last."""
    parts = name.split(".")[:-1]
    return [model.get_submodule(".".join(parts[:size])) for size in range(len(parts), -1, -1)]
