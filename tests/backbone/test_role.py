"""Modules are found by role, whatever an architecture calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.backbone.load import outline
from autopeft.records import BackboneShape

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
CLASSIC = {
    "attn.q": 1, "attn.k": 1, "attn.v": 1, "attn.out": 1, "ffn.in": 1, "ffn.out": 1, "norm": 2
}  # fmt: skip
FUSED = {"attn.qkv": 1, "attn.out": 1, "ffn.in": 1, "ffn.out": 1, "norm": 2}
SITES = {
    "bert": CLASSIC,
    "roberta": CLASSIC,
    "distilbert": CLASSIC,
    "mpnet": CLASSIC,
    "deberta-v2": CLASSIC,
    "modernbert": FUSED,
    "gpt2": FUSED,
    "llama": {**CLASSIC, "ffn.in": 2},
}


def shape_of(folder: Path) -> BackboneShape:
    return outline(folder, **HEAD)[0]


@pytest.mark.parametrize("architecture", SITES)
def test_second_layer_has_every_site(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    shape = shape_of(tiny_folder(architecture))
    assert Counter(m.site for m in shape.modules if m.layer == 1) == SITES[architecture]
    assert shape.layers == 2
    assert {m.layer for m in shape.modules} == {0, 1}


@pytest.mark.parametrize("architecture", SITES)
def test_widths_follow_the_configuration(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = shape_of(tiny_folder(architecture))
    inner = 96 if architecture == "modernbert" else 48
    widths = {
        "attn.q": (32, 32),
        "attn.k": (32, shape.kv_width),
        "attn.v": (32, shape.kv_width),
        "attn.qkv": (32, 96),
        "attn.out": (32, 32),
        "ffn.in": (32, inner),
        "ffn.out": (48, 32),
        "norm": (32, 32),
    }
    for module in shape.modules:
        assert (module.fan_in, module.fan_out) == widths[module.site], module
        assert module.outputs == (3 if module.site == "attn.qkv" else 1)


def test_first_norm_of_modernbert_is_not_there(tiny_folder: Callable[[str], Path]) -> None:
    shape = shape_of(tiny_folder("modernbert"))
    assert sum(m.site == "norm" for m in shape.modules) == 3


def test_grouped_keys_are_narrower(tiny_folder: Callable[[str], Path]) -> None:
    assert shape_of(tiny_folder("llama")).kv_width == 16


@pytest.mark.parametrize("architecture", SITES)
def test_biases_are_those_of_the_model(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = shape_of(tiny_folder(architecture))
    if architecture in ("llama", "modernbert"):
        assert shape.biases == () and not any(m.bias for m in shape.modules)
    else:
        # per layer 4 · 32 (attention) + 48 + 32 (feed-forward) + 2 · 32 (norms)
        assert sum(m.bias for m in shape.modules) == 2 * 272


@pytest.mark.parametrize(
    ("architecture", "kind"), [("bert", "encoder"), ("gpt2", "decoder"), ("llama", "decoder")]
)
def test_kind(tiny_folder: Callable[[str], Path], architecture: str, kind: str) -> None:
    assert shape_of(tiny_folder(architecture)).kind == kind


@pytest.mark.parametrize("architecture", SITES)
def test_padding_rows_are_no_positions(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    assert shape_of(tiny_folder(architecture)).positions == 128
