"""Attention over [P_k; K] and [P_v; V], against loops over queries written by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from autopeft.tuner.attention import ATTENTION, register_attention
from tests.tiny import DECODERS, HEADS, HIDDEN, LAYERS, POSITIONS
from tests.tuner.common import (
    CLOSE,
    adapted,
    apart,
    gated,
    inputs,
    layers,
    logits,
    parts,
    randomised,
    shut,
    tiny,
)

WIDTH = HIDDEN // HEADS
TOKENS = 3
OPEN = ("bert", "roberta", "distilbert", "modernbert", "mobilebert", "gpt2", "llama", "gemma2")
"""Architectures whose attention comes from transformers' interface: MobileBERT's is narrower than
its state, Gemma 2 caps the scores."""

SINKS = "gpt_oss"
"""Its attention has a score for nothing; its feed-forward has no projections."""

OUT = {
    "bert": "bert.encoder.layer.{}.attention.output.dense",
    "gpt2": "transformer.h.{}.attn.c_proj",
    "llama": "model.layers.{}.self_attn.o_proj",
}
"""What reads the attention's output."""

Heads = tuple[Tensor, Tensor, Tensor]


class Seen:
    """What modules took and gave in one forward pass, by name."""

    def __init__(self) -> None:
        self.given: dict[str, Tensor] = {}
        self.taken: dict[str, Tensor] = {}
        self.options: dict[str, dict[str, Any]] = {}

    @contextmanager
    def watching(self, model: nn.Module):
        handles = [
            module.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, module in model.named_modules()
        ]
        yield self
        for handle in handles:
            handle.remove()

    def _hook(self, name: str):
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any):
            self.options[name] = kwargs
            if args and isinstance(args[0], Tensor):
                self.taken[name] = args[0]
            if isinstance(output, Tensor):
                self.given[name] = output

        return hook


def split(state: Tensor, heads: int) -> Tensor:
    """Return (B, S, heads·D) as (B, heads, S, D)."""
    return state.unflatten(-1, (heads, WIDTH)).transpose(1, 2)


def of_bert(seen: Seen, layer: int) -> Heads:
    place = f"bert.encoder.layer.{layer}.attention.self."
    query, key, value = (seen.given[place + name] for name in ("query", "key", "value"))
    return split(query, HEADS), split(key, HEADS), split(value, HEADS)


def of_gpt2(seen: Seen, layer: int) -> Heads:
    query, key, value = seen.given[f"transformer.h.{layer}.attn.c_attn"].split(HIDDEN, dim=-1)
    return split(query, HEADS), split(key, HEADS), split(value, HEADS)


def of_llama(seen: Seen, layer: int) -> Heads:
    place = f"model.layers.{layer}.self_attn"
    cos, sin = (table[:, None] for table in seen.options[place]["position_embeddings"])

    def turned(state: Tensor) -> Tensor:
        first, second = state.chunk(2, dim=-1)
        return state * cos + torch.cat([-second, first], dim=-1) * sin

    query = split(seen.given[f"{place}.q_proj"], HEADS)
    key, value = (split(seen.given[f"{place}.{name}_proj"], 2) for name in "kv")
    return turned(query), turned(key), value


STATES = {"bert": of_bert, "gpt2": of_gpt2, "llama": of_llama}


def by_hand(heads: Heads, prefix: tuple[Tensor, Tensor], mask: Tensor, causal: bool) -> Tensor:
    """Return the attention's output (B, S, H·D), one query at a time."""
    query, key, value = heads
    rows, count, length, width = query.shape
    groups = count // key.shape[1]
    before = [state.unflatten(-1, (-1, width)) for state in prefix]  # (n, key-value heads, D)
    output = torch.zeros(rows, length, count, width)
    for row in range(rows):
        for head in range(count):
            shared = head // groups
            for place in range(length):
                seen = mask[row].bool() & (torch.arange(length) <= (place if causal else length))
                keys = torch.cat([before[0][:, shared], key[row, shared, seen]])
                values = torch.cat([before[1][:, shared], value[row, shared, seen]])
                scores = keys @ query[row, head, place] / width**0.5
                output[row, place, head] = torch.softmax(scores, 0) @ values
    return output.flatten(2)


@pytest.mark.parametrize("architecture", STATES)
@pytest.mark.parametrize("inner", [0, 5])
def test_equals_attention_by_hand(
    tiny_folder: Callable[[str], Path], architecture: str, inner: int
) -> None:
    model = tiny(tiny_folder(architecture))
    prefixed = adapted(model, parts(model, "prefix", tokens=TOKENS, inner=inner))
    prefixes = {layer.name: layer.deltas().actors[0].delta for layer in layers(model).values()}
    assert len(prefixes) == LAYERS
    batch = inputs()
    with torch.no_grad(), Seen().watching(model) as seen:
        prefixed(**batch)
        for index, prefix in enumerate(prefixes.values()):
            made = by_hand(
                STATES[architecture](seen, index),
                prefix(),
                batch["attention_mask"],
                causal=architecture != "bert",
            )
            real = batch["attention_mask"].bool()
            got = seen.taken[OUT[architecture].format(index)]
            assert apart(got[real], made[real]) <= CLOSE


@pytest.mark.parametrize("architecture", [*OPEN, SINKS])
@pytest.mark.parametrize("masked", [True, False])
def test_without_a_prefix_it_is_plain_attention(
    tiny_folder: Callable[[str], Path], architecture: str, masked: bool
) -> None:
    model = tiny(tiny_folder(architecture))
    batch = inputs()
    if not masked:
        batch = {"input_ids": batch["input_ids"][:1]}
    model.set_attn_implementation("eager")
    expected = logits(model, batch)
    register_attention()
    model.set_attn_implementation(ATTENTION)
    assert apart(logits(model, batch), expected) <= 1e-6


def test_without_a_prefix_it_is_plain_attention_with_position_biases() -> None:
    """T5 adds a bias for the distance, and its decoder also looks at the encoder."""
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 48, "num_layers": 2}
    settings = AutoConfig.for_model("t5", vocab_size=100, decoder_start_token_id=0, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(settings, attn_implementation="eager").eval()
    batch = inputs()
    batch |= {"decoder_input_ids": batch["input_ids"][:, :4]}
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        register_attention()
        model.set_attn_implementation(ATTENTION)
        assert apart(model(**batch).last_hidden_state, expected) <= 1e-6


@pytest.mark.parametrize("architecture", [*OPEN, SINKS])
def test_positions_do_not_shift(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    """A text may fill every position, and behind a closed gate gives the backbone's logits."""
    folder = tiny_folder(architecture)
    longest = {"input_ids": torch.arange(POSITIONS).remainder(95)[None] + 5}
    base, model = tiny(folder), tiny(folder)
    some = gated(parts(model, "prefix", tokens=TOKENS))
    prefixed = adapted(model, some)
    assert apart(logits(prefixed, longest), logits(base, longest)) > 1e-3
    shut(prefixed)
    assert apart(logits(prefixed, longest), logits(base, longest)) <= CLOSE


@pytest.mark.parametrize(
    ("architecture", "left"),
    [*((name, False) for name in OPEN), *((name, True) for name in DECODERS)],
)
@pytest.mark.parametrize("method", ["prefix", "unipelt", "mam"])
def test_padding_does_not_matter(
    tiny_folder: Callable[[str], Path], architecture: str, left: bool, method: str
) -> None:
    """Each text alone gives what it gives in a batch; encoders read out the first position."""
    model = tiny(tiny_folder(architecture))
    prefixed = adapted(model, parts(model, method))
    batch = inputs(left=left)
    if left:
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    together = logits(prefixed, batch)
    for row, mask in enumerate(batch["attention_mask"].bool()):
        alone = {name: values[row][mask][None] for name, values in batch.items()}
        assert apart(logits(prefixed, alone)[0], together[row]) <= CLOSE


def test_architectures_with_an_attention_of_their_own_are_refused(
    tiny_folder: Callable[[str], Path],
) -> None:
    model = tiny(tiny_folder("mpnet"))
    (first, *_) = parts(model, "lora")
    prefix = replace(first, delta="prefix", changes="attention", settings={"tokens": 2})
    with pytest.raises(ValueError, match="mpnet has an attention of its own, without prefixes"):
        adapted(model, [prefix])


def test_prefix_of_another_width_is_no_pack(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    wide = [replace(part, fan_out=4 * HIDDEN) for part in parts(model, "prefix", tokens=TOKENS)]
    with pytest.raises(ValueError, match="prefix of width 128 before keys of width 32"):
        logits(adapted(model, wide))


def test_prefixes_of_a_pass_are_used_up(tiny_folder: Callable[[str], Path]) -> None:
    """A pass leaves nothing that another one could meet."""
    model = tiny(tiny_folder("bert"))
    prefixed = adapted(model, parts(model, "mam"))
    once = logits(prefixed)
    logits(prefixed, inputs(rows=2, length=5))
    assert torch.equal(logits(randomised(prefixed, 1)), once)
    assert not prefixed.base_model._call_of_model.prefixes
