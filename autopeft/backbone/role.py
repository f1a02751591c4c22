"""Which module of a transformer plays which role, found by structure and not by full names.

A layer is an entry of the longest `nn.ModuleList` of the backbone; of an encoder-decoder, the
encoder's layers come first and the decoder's go on counting. Inside a layer, a projection that
lies under a module called ``attn…`` or ``attention`` is told apart by its last name (``q_lin``,
``query_proj``, ``Wqkv`` …); of the others, the last one that returns to the hidden width is
``ffn.out`` and everything that starts from the hidden width is ``ffn.in`` (a gated feed-forward
has two of those, or one of double width).

A decoder's attention over the encoder's output is at no site, its norm apart: ``attn.q`` means the
same in every layer, and the methods' papers adapt self-attention. It stays as it was pretrained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autopeft.records import ModuleShape

if TYPE_CHECKING:
    from torch import nn

FUSED = re.compile(r"(qkv|query_key_value|c_attn|in_proj)", re.IGNORECASE)
OWN = re.compile(r"^(q|k|v|o)(_?(lin|proj))?$|^(query|key|value|out)(_?(lin|proj))?$")
OUT = re.compile(r"^(dense|c_proj|wo)$", re.IGNORECASE)
CROSS = re.compile(r"(cross|encdec|encoder_attn)", re.IGNORECASE)


def layer_stacks(backbone: nn.Module) -> tuple[tuple[str, nn.ModuleList], ...]:
    """Return the names and the entries of the backbone's stacks of layers, in running order.

    Two for an encoder-decoder, else one; none if it has no layers.
    """
    from torch import nn

    lists = [(n, m) for n, m in backbone.named_modules() if isinstance(m, nn.ModuleList)]
    outer = [(n, m) for n, m in lists if not any(n.startswith(f"{o}.") for o, _ in lists)]
    sides = [[p for p in outer if p[0].startswith(side)] for side in ("encoder.", "decoder.")]
    stacks = sides if all(sides) else [outer]
    return tuple(max(stack, key=lambda pair: len(pair[1])) for stack in stacks if stack)


def module_shapes(backbone: nn.Module, prefix: str, hidden: int) -> tuple[ModuleShape, ...]:
    """Return every module of the layers that can be adapted.

    Args:
        backbone: the transformer without its head.
        prefix: put before every name, such as ``"bert."``.
        hidden: width of the hidden state.
    """
    found: list[ModuleShape] = []
    for number, (name, layer) in enumerate(_layers(backbone, prefix)):
        found += _layer_shapes(layer, name, number, hidden)
    return tuple(found)


def cross_shapes(backbone: nn.Module, prefix: str) -> tuple[ModuleShape, ...]:
    """Return the projections of a decoder's attention over the encoder.

    Args:
        backbone: the transformer without its head.
        prefix: put before every name.
    """
    found: list[ModuleShape] = []
    for number, (outer, layer) in enumerate(_layers(backbone, prefix)):
        for name, module in layer.named_modules():
            widths, site = fans(module), _projection_site(name.rpartition(".")[2])
            if widths is None or site is None or not CROSS.search(name.rpartition(".")[0]):
                continue
            found.append(
                ModuleShape(
                    name=outer + name,
                    site=site.replace("attn", "cross"),
                    layer=number,
                    fan_in=widths[0],
                    fan_out=widths[1],
                    bias=_bias(module),
                )
            )
    return tuple(found)


def is_norm(module: nn.Module) -> bool:
    """Return whether the module rescales a hidden state by a weight vector of its own."""
    weight = module._parameters.get("weight")
    return "Norm" in type(module).__name__ and weight is not None and weight.dim() == 1


def fans(module: nn.Module) -> tuple[int, int] | None:
    """Return the widths (in, out) of a projection, None for any other module.

    GPT-2's ``Conv1D`` stores its weight as (in, out), `nn.Linear` as (out, in).
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _layers(backbone: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield each layer with what stands before the names of its modules."""
    for name, stack in layer_stacks(backbone):
        for index, layer in enumerate(stack):
            yield f"{prefix}{name}.{index}.", layer


def _bias(module: nn.Module) -> int:
    """Return the length of a module's bias, 0 if it has none."""
    bias = module._parameters.get("bias")
    return 0 if bias is None else bias.numel()


def _layer_shapes(layer: nn.Module, prefix: str, index: int, hidden: int) -> list[ModuleShape]:
    sites = _feed_forward(layer, hidden)
    found = []
    for name, module in layer.named_modules():
        site = sites.get(name) or _attention_site(name, module)
        if is_norm(module):
            site, width = "norm", int(module.weight.shape[0])
            fan_in, fan_out = width, width
        elif site is not None:
            fan_in, fan_out = fans(module) or (0, 0)
        else:
            continue
        found.append(
            ModuleShape(
                name=prefix + name,
                site=site,
                layer=index,
                fan_in=fan_in,
                fan_out=fan_out,
                bias=_bias(module),
                outputs=3 if site == "attn.qkv" else 1,
            )
        )
    return found


def _in_attention(name: str) -> bool:
    modules = name.lower().split(".")[:-1]
    return any("attn" in module or "attention" in module for module in modules)


def _attention_site(name: str, module: nn.Module) -> str | None:
    leaf = name.rpartition(".")[2]
    if not _in_attention(name) or CROSS.search(name) or fans(module) is None:
        return None
    return _projection_site(leaf)


def _projection_site(leaf: str) -> str | None:
    """Return the site of a projection of an attention, by the last part of its name."""
    if FUSED.search(leaf):
        return "attn.qkv"
    if OUT.match(leaf):
        return "attn.out"
    if OWN.match(leaf):
        return "attn.out" if leaf[0] == "o" else f"attn.{leaf[0]}"
    return None


def _feed_forward(layer: nn.Module, hidden: int) -> dict[str, str]:
    """Return the sites of the projections outside the attention, by name within the layer."""
    widths = {
        name: both
        for name, module in layer.named_modules()
        if (both := fans(module)) is not None and not _in_attention(name)
    }
    returning = [name for name, (_, fan_out) in widths.items() if fan_out == hidden]
    if not returning:
        return {}
    last = returning[-1]
    starting = [n for n, (fan_in, _) in widths.items() if fan_in == hidden and n != last]
    return {**dict.fromkeys(starting, "ffn.in"), last: "ffn.out"}
