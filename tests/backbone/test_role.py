"""Modules are found by role, whatever an architecture calls them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from autopeft.backbone.load import outline
from autopeft.backbone.outline import backbone_shape
from autopeft.records import BackboneShape
from tests.tiny import head_for, tiny_config

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
    "t5": CLASSIC,
    "vit": CLASSIC,
}
LAYERS = {"t5": 2 + 1}
POSITIONS = {"t5": None, "vit": 4 * 4 + 1}


def shape_of(folder: Path, architecture: str) -> BackboneShape:
    return outline(folder, **head_for(architecture))[0]


def shape_from(architecture: str, head: str = "classification_head", **changes: object):
    """Return the shape of a model that is never filled with weights."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(tiny_config(architecture, **changes))
    return backbone_shape(model, (head,))


@pytest.mark.parametrize("architecture", SITES)
def test_second_layer_has_every_site(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    shape = shape_of(tiny_folder(architecture), architecture)
    assert Counter(m.site for m in shape.modules if m.layer == 1) == SITES[architecture]
    assert shape.layers == LAYERS.get(architecture, 2)
    assert {m.layer for m in shape.modules} == set(range(shape.layers))


@pytest.mark.parametrize("architecture", SITES)
def test_widths_follow_the_configuration(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = shape_of(tiny_folder(architecture), architecture)
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


def test_attention_over_the_encoder_is_told_apart(tiny_folder: Callable[[str], Path]) -> None:
    shape = shape_of(tiny_folder("t5"), "t5")
    assert [m.site for m in shape.cross] == ["cross.q", "cross.k", "cross.v", "cross.out"]
    assert {(m.layer, m.fan_in, m.fan_out) for m in shape.cross} == {(2, 32, 32)}
    assert all("EncDecAttention" in m.name for m in shape.cross)
    assert not shape_of(tiny_folder("bert"), "bert").cross


@pytest.mark.parametrize(
    ("architecture", "name", "rows"),
    [
        ("bert", "bert.embeddings.position_embeddings", 128),
        ("gpt2", "transformer.wpe", 128),
        ("bart", "model.encoder.embed_positions", 128 + 2),
        ("opt", "model.decoder.embed_positions", 128 + 2),
        ("llama", None, 0),
        ("roformer", None, 0),
        ("t5", None, 0),
        ("vit", None, 0),
    ],
)
def test_table_of_positions(
    tiny_folder: Callable[[str], Path], architecture: str, name: str | None, rows: int
) -> None:
    table = shape_of(tiny_folder(architecture), architecture).positions_table
    assert name == (None if table is None else table.name)
    assert table is None or (table.fan_in, table.fan_out) == (rows, 32)


def test_first_norm_of_modernbert_is_not_there(tiny_folder: Callable[[str], Path]) -> None:
    shape = shape_of(tiny_folder("modernbert"), "modernbert")
    assert sum(m.site == "norm" for m in shape.modules) == 3


def test_grouped_keys_are_narrower(tiny_folder: Callable[[str], Path]) -> None:
    assert shape_of(tiny_folder("llama"), "llama").kv_width == 16


@pytest.mark.parametrize("architecture", SITES)
def test_biases_are_those_of_the_model(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = shape_of(tiny_folder(architecture), architecture)
    if architecture in ("llama", "modernbert", "t5"):
        assert shape.biases == () and not any(m.bias for m in shape.modules)
    else:
        # per layer 4 · 32 (attention) + 48 + 32 (feed-forward) + 2 · 32 (norms)
        assert sum(m.bias for m in shape.modules) == 2 * 272


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("bert", "encoder"),
        ("vit", "encoder"),
        ("gpt2", "decoder"),
        ("llama", "decoder"),
        ("t5", "encoder-decoder"),
    ],
)
def test_kind(tiny_folder: Callable[[str], Path], architecture: str, kind: str) -> None:
    assert shape_of(tiny_folder(architecture), architecture).kind == kind


@pytest.mark.parametrize("architecture", SITES)
def test_padding_rows_are_no_positions(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = shape_of(tiny_folder(architecture), architecture)
    assert shape.positions == POSITIONS.get(architecture, 128)


def test_no_limit_of_positions_may_be_written_as_a_number() -> None:
    assert shape_from("llama", "score", max_position_embeddings=-1).positions is None


def test_images_have_no_vocabulary_and_want_no_pad_token(
    tiny_folder: Callable[[str], Path],
) -> None:
    shape = shape_of(tiny_folder("vit"), "vit")
    assert shape.vocabulary == 0
    assert shape.has_pad_token


def test_biases_outside_the_layers_are_counted_too(tiny_folder: Callable[[str], Path]) -> None:
    biases = dict(shape_of(tiny_folder("vit"), "vit").biases)
    assert biases["vit.embeddings.patch_embeddings.projection"] == 32
    assert biases["vit.layernorm"] == 32
    assert sum(biases.values()) == 2 * 272 + 32 + 32


def test_layers_count_from_the_encoder_on_through_the_decoder() -> None:
    shape = shape_from("t5", num_layers=3, num_decoder_layers=2)
    places = {m.layer: m.name.rpartition(".layer.")[0] for m in shape.modules}
    assert shape.layers == 5
    assert places == {
        **{number: f"transformer.encoder.block.{number}" for number in range(3)},
        **{3 + number: f"transformer.decoder.block.{number}" for number in range(2)},
    }


@pytest.mark.parametrize(("architecture", "norms"), [("t5", 3), ("bart", 3)])
def test_attention_over_the_encoder_is_at_no_site_but_its_norm_is(
    architecture: str, norms: int
) -> None:
    settings = {"encoder_layers": 2, "decoder_layers": 1} if architecture == "bart" else {}
    shape = shape_from(architecture, **settings)
    last = [module for module in shape.modules if module.layer == 2]
    assert shape.layers == 3
    assert Counter(module.site for module in last) == {**CLASSIC, "norm": norms}
    across = ("EncDecAttention.", "encoder_attn.")
    assert not any(name in module.name for module in last for name in across)


def test_gated_feed_forward_of_t5_has_two_ways_in() -> None:
    shape = shape_from("t5", feed_forward_proj="gated-gelu")
    layer = [module for module in shape.modules if module.layer == 2]
    assert Counter(module.site for module in layer) == {**CLASSIC, "ffn.in": 2, "norm": 3}


def test_attention_of_t5_may_be_narrower_than_its_state() -> None:
    shape = shape_from("t5", d_kv=6)
    widths = {module.site: (module.fan_in, module.fan_out) for module in shape.modules}
    assert shape.kv_width == 24
    assert [widths[f"attn.{name}"] for name in "qkv"] == [(32, 24)] * 3
    assert widths["attn.out"] == (24, 32)
