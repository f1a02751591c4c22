"""Attention that also sees a prefix: one function for every model of transformers' interface.

transformers asks a registered function for the attention and another one for its mask; a model with
a prefix gets both of ours. Positions do not shift, because the prefix is not in the sequence:
padding, causal masks, sliding windows, grouped queries and T5's bias stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autopeft.backbone.outline import uses_attention_interface
from autopeft.tuner.call import Call, Prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "autopeft_prefix"
_MARK = "_autopeft_call"


def register_attention() -> None:
    """Make the attention known to transformers, with the mask that it needs."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, eager_mask)


def install(model: PreTrainedModel, names: list[str], call: Call) -> str:
    """Let the named attention modules see the prefixes of `call`; return the old implementation.

    Raises:
        ValueError: the model does not take its attention from transformers' interface.
    """
    if not uses_attention_interface(model):
        raise ValueError(f"{model.config.model_type} has an attention of its own, without prefixes")
    register_attention()
    before: str = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    for name in names:
        setattr(model.get_submodule(name), _MARK, (call, name))
    return before


def uninstall(model: PreTrainedModel, before: str) -> None:
    """Undo `install`."""
    for module in model.modules():
        module.__dict__.pop(_MARK, None)
    model.set_attn_implementation(before)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return the attention's output (B, S, H, D) over the prefix, if there is one, and the text.

    Args:
        module: the attention module that asks.
        query: (B, H, S, D).
        key: (B, K, T, D); H is a multiple of K.
        value: as `key`.
        attention_mask: added to the scores (B, 1, S, T); None where every query sees every key.
        scaling: of the scores; 1/√D if not given.
        dropout: of the weights, while training.
        position_bias: added to the scores (1 or B, H, S, T), as T5 does.
        softcap: the largest score, before masks, as Gemma 2 has it; None for no cap.
        s_aux: of each head (H,) the score of a sink, as GPT-OSS has it; None without sinks.
        kwargs: what other models pass and this function does not need.
    """
    del kwargs
    bias = attention_mask if position_bias is None else position_bias
    if position_bias is not None and attention_mask is not None:
        bias = position_bias + attention_mask
    for prefix in _prefixes(module):
        key, value, bias = _prepended(key, value, bias, *prefix)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (state.repeat_interleave(groups, dim=1) for state in (key, value))
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    dropout = dropout if module.training else 0.0
    if query.device.type != "cpu" and softcap is None and s_aux is None:
        output = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout, scale=scaling
        )
    else:  # no fused attention has caps and sinks, and the processor's has a slow way back
        scores = torch.matmul(query, key.transpose(2, 3)) * scaling
        scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
        scores = scores if bias is None else scores + bias
        weights = scores.softmax(dim=-1) if s_aux is None else _beside_sinks(scores, s_aux)
        weights = nn.functional.dropout(weights, dropout).to(value.dtype)
        output = torch.matmul(weights, value)
    return output.transpose(1, 2).contiguous(), None


def _beside_sinks(scores: Tensor, sinks: Tensor) -> Tensor:
    """Return the weights (B, H, S, T) of scores beside a sink of each head (H,)."""
    sink = sinks.view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1]


def _prefixes(module: nn.Module) -> list[Prefix]:
    mark = getattr(module, _MARK, None)
    if mark is None:
        return []
    call, name = mark
    found: list[Prefix] = call.prefixes.pop(name, [])
    return found


def _prepended(
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    gate: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return keys, values and bias with the prefix before them.

    Raises:
        ValueError: the prefix is not as wide as the keys of all heads together.
    """
    rows, heads, _, width = key.shape
    tokens, wide = prefix_keys.shape[-2:]
    if wide != heads * width:
        raise ValueError(f"a prefix of width {wide} before keys of width {heads * width}")
    states = []
    for state in (prefix_keys, prefix_values):
        split = state.view(-1, tokens, heads, width).transpose(1, 2)
        split = split.repeat_interleave(rows // len(split), dim=0)
        states.append((split if gate is None else split * gate[..., None]).to(key.dtype))
    if bias is not None or gate is not None:
        bias = _widened(bias, gate, rows, tokens, key)
    key, value = torch.cat([states[0], key], dim=2), torch.cat([states[1], value], dim=2)
    return key, value, bias


def _widened(
    bias: Tensor | None, gate: Tensor | None, rows: int, tokens: int, key: Tensor
) -> Tensor:
    """Return the bias with columns for the prefix: 0, or closed where the gate is exactly 0."""
    if bias is None:
        bias = key.new_zeros(1, 1, 1, key.shape[2])
    columns = bias.new_zeros(*bias.shape[:-1], tokens)
    if gate is not None:
        lowest = torch.finfo(bias.dtype).min
        closed = (gate == 0).to(bias.dtype)[..., None] * lowest
        columns = columns + closed
        bias = bias.expand(rows, -1, -1, -1)
    return torch.cat([columns, bias], dim=-1)
