"""A merged model without the neurons that were cut: smaller, and still plain transformers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autopeft.backbone.role import layer_stacks, module_shapes
from autopeft.deltas.delta import transposed

WIDTHS = ("intermediate_size", "hidden_dim", "n_inner", "d_ff")
"""What configurations call the width inside a feed-forward."""

SITES = ("ffn.in", "ffn.out")


def slim(model: Any) -> None:
    """Take out, in place, the inner neurons that no layer's feed-forward reads any more.

    The configuration gets the new width, so the model saves and loads as before. Where the layers
    lack different numbers of neurons, or the architecture cannot be built that narrow, the model
    stays as it is: right, but no smaller.
    """
    neurons = _neurons(model)
    widths = {int(stays.sum()) for _, _, stays in neurons}
    if len(widths) != 1 or all(stays.all() for _, _, stays in neurons):
        return
    config = copy.deepcopy(model.config)
    for name in WIDTHS:
        if name in config.to_dict():
            setattr(config, name, min(widths))
    cut: dict[str, Tensor] = {}
    for starting, last, stays in neurons:
        cut[f"{last}.weight"] = _cut(model.get_submodule(last), "weight", stays, dim=1)
        for name in starting:
            module = model.get_submodule(name)
            for kind in ("weight", "bias"):
                if getattr(module, kind, None) is not None:
                    cut[f"{name}.{kind}"] = _cut(module, kind, stays, dim=0)
    if not _fits(model, config, cut):
        return
    for name, value in cut.items():
        module, kind = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        setattr(module, kind, nn.Parameter(value, requires_grad=False))
    for starting, last, _ in neurons:
        for name in (*starting, last):
            _tell_widths(model.get_submodule(name))
    model.config = config


def _neurons(model: Any) -> list[tuple[list[str], str, Tensor]]:
    """Return, by layer, what makes its inner neurons, what reads them, and which it does read."""
    prefix = model.base_model_prefix if hasattr(model, model.base_model_prefix) else ""
    base = model.get_submodule(prefix) if prefix else model
    shapes = module_shapes(base, f"{prefix}." if prefix else "", model.config.hidden_size)
    found = []
    for layer in range(sum(len(stack) for _, stack in layer_stacks(base))):
        at = {
            site: [m.name for m in shapes if (m.layer, m.site) == (layer, site)] for site in SITES
        }
        (last,) = at["ffn.out"]
        module = model.get_submodule(last)
        weight = module.weight.T if transposed(module) else module.weight
        found.append((at["ffn.in"], last, weight.ne(0).any(dim=0)))
    return found


def _cut(module: Any, kind: str, stays: Tensor, *, dim: int) -> Tensor:
    """Return a weight (fan_out, fan_in) or a bias with only the neurons that stay, as stored.

    Args:
        module: a projection.
        kind: ``"weight"`` or ``"bias"``.
        stays: of the inner neurons; a projection that makes them twice over, half of them as
            gates, has them one half after the other.
        dim: 0 for its outputs, 1 for its inputs.
    """
    value: Tensor = getattr(module, kind).detach()
    stored = kind == "weight" and transposed(module)
    value = value.T if stored else value
    stays = stays.repeat(value.shape[dim] // len(stays))
    value = value.index_select(dim, stays.nonzero().flatten())
    return (value.T if stored else value).contiguous()


def _fits(model: Any, config: Any, cut: Mapping[str, Tensor]) -> bool:
    """Return whether a model built from a configuration has the shapes of this one, cut."""
    with torch.device("meta"):
        empty = type(model)(config)
    wanted = {name: p.shape for name, p in empty.named_parameters()}
    return wanted == {n: cut.get(n, p).shape for n, p in model.named_parameters()}


def _tell_widths(module: Any) -> None:
    """Let a projection say the widths that its weight has now."""
    if transposed(module):
        module.nx, module.nf = module.weight.shape
    else:
        module.out_features, module.in_features = module.weight.shape
