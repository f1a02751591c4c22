"""Trained parameters of every method on the shape of BERT-base, derived by hand.

BERT-base: 12 layers, width d = 768, inner width 3072, 12 heads; built from its configuration on
the meta device. LoRA's default places r = 8 on q and v, 24 square projections.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from autopeft.backbone.outline import backbone_shape
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, feasible_methods
from autopeft.records import BackboneShape, Placement

COUNTS = {
    "lora": 294_912,  # 24 · 8 · (768 + 768)
    "dora": 313_344,  # LoRA and a magnitude for each of 768 outputs: 294,912 + 24 · 768
    "adalora": 442_656,  # initial rank 8 · 3/2 = 12, and its diagonal: 24 · 12 · (768 + 768 + 1)
    # 768 = 24 · 32, so the first factor has 24 · 24 = 576; the second, 32 by 32, has rank 8 < 16:
    # 8 · (32 + 32) = 512; 24 · (576 + 512)
    "lokr": 26_112,
    "loha": 589_824,  # two low-rank matrices, so twice LoRA: 2 · 24 · 8 · (768 + 768)
    "lora_fa": 147_456,  # B alone: 24 · 8 · 768
    "pissa": 294_912,  # as LoRA; its artifact holds twice as much
    "olora": 294_912,
    # q, k, v and out of each layer, with their biases: 12 · 4 · 768 · 769
    "partial": 28_348_416,
    "embeddings": 23_440_896,  # of words: 30,522 · 768
    "vera": 24_576,  # 24 · (256 + 768)
    "ia3": 55_296,  # keys and values 12 · (768 + 768), inner activations 12 · 3072
    "ln_tuning": 36_864,  # two norms in each layer: 12 · 2 · (768 + 768)
    # per layer: q, k, v, out, two norms and the second feed-forward 7 · 768, the first 3072: 8448;
    # 12 layers 101,376; norm of the embeddings 768, pooler 768
    "bitfit": 102_912,
    "prompt_tuning": 15_360,  # 20 · 768
    # prompt 15,360; encoder 768 → 128 → 128 → 768 with biases:
    # 769 · 128 = 98,432; 129 · 128 = 16,512; 129 · 768 = 99,072
    "p_tuning": 229_376,
    "attempt": 15_360,  # without sources a plain prompt: 20 · 768
    "soft_template": 15_360,  # 20 · 768; the gap's word is the vocabulary's
    "prefix": 184_320,  # 10 · 12 layers · 2 · 768
    "p_tuning_v2": 368_640,  # 20 · 12 · 2 · 768
    # an adapter of width 48: 48 · (768 + 768 + 1) + 768 = 74,544; two in each of 12 layers
    "houlsby": 1_789_056,
    "pfeiffer": 894_528,  # 12 · 74,544
    "parallel_adapter": 894_528,
    "scaled_parallel_adapter": 894_528,
    "mam": 1_447_488,  # prefix 30 · 12 · 2 · 768 = 552,960, and 894,528
    "prefix_ln": 221_184,  # 184,320 and norms 36,864
    "prefix_adapter_ln": 1_115_712,  # 221,184 and 894,528
    # prefix 184,320, adapters 894,528, LoRA 294,912, four gates of 769 in each of 12 layers 36,912
    "unipelt": 1_410_672,
    # adapters 894,528, LoRA 294,912, and three gates of 769 in each of 12 layers 27,684
    "mixture": 1_217_124,
    "unipelt_ap": 1_097_304,  # 184,320 + 894,528 + two gates: 24 · 769 = 18,456
    # an adapter of width 768 / 32 = 24, n = 4: s and t of W_down 24 + 768, of W_up 768 + 24, biases
    # 24 + 768: 2376; two in each of 12 layers 57,024; shared factors 4 · 4 · 4 = 64; norms 36,864
    "compacter": 93_952,
    "compacter++": 65_440,  # 12 · 2376 = 28,512, and 64 and 36,864
    # shared a and b 2 · 32 · 32 = 2048; u and v 32 · (768 / 32 + 768 / 32) = 1536 in 24 projections
    "kadaptation": 38_912,
    "dsee": 295_296,  # LoRA and 16 entries in each of 24 projections: 294,912 + 384
    # r = 4, Σ with bias: a square projection 2 · 4 · 1536 + 16 · 769 = 24,592, four of them 98,368;
    # ffn.in 2 · 4 · 3840 + 16 · 769 = 43,024; ffn.out 2 · 4 · 3840 + 16 · 3073 = 79,888
    "tarp": 2_655_360,  # 12 · 221,280
    # width 16: down 32 · 769 = 24,608; an edge has 16 · 17 for linear, 16 · 49 and 16 · 81 for the
    # convolutions, 32 · 17 for the gated unit: 2896, nine of them 26,064; up 768 · 17 = 13,056;
    # 12 · 63,728 and the choice 9 · 6
    "tams": 764_790,
    "head_only": 0,
    # embeddings (30,522 + 512 + 2) · 768 + 1536 = 23,837,184; a layer has 4 · 768 · 769 for the
    # attention, 2 · 768 · 3072 + 3072 + 768 for the feed-forward, 2 · 1536 for the norms:
    # 7,087,872, twelve of them 85,054,464; pooler 768 · 769 = 590,592
    "full": 109_482_240,
}


@pytest.fixture(scope="module")
def bert_base() -> BackboneShape:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(BertConfig())
    return replace(backbone_shape(model, ("classifier",)), mask_token=103)


@pytest.mark.parametrize("method", METHODS.names())
def test_count_on_bert_base(bert_base: BackboneShape, method: str) -> None:
    info = METHODS.get(method)
    knobs = {name: knob.default for name, knob in info.knobs.items()}
    assert info.count(bert_base, info.placement, knobs) == COUNTS[method]


def test_head_is_counted_apart(bert_base: BackboneShape) -> None:
    assert bert_base.head_params == 2 * 768 + 2


def test_placement_is_counted(bert_base: BackboneShape) -> None:
    lora = METHODS.get("lora")
    knobs = {name: knob.default for name, knob in lora.knobs.items()}
    top = Placement(sites=("ffn.in", "ffn.out"), layers="top:4")
    # 4 layers · 2 projections · 8 · (768 + 3072)
    assert lora.count(bert_base, top, knobs) == 245_760


def test_placement_that_names_nothing_is_refused(bert_base: BackboneShape) -> None:
    lora = METHODS.get("lora")
    knobs = {name: knob.default for name, knob in lora.knobs.items()}
    with pytest.raises(IncompatibleMethodError, match=r"bert has no module at attn\.qkv"):
        lora.count(bert_base, Placement(sites=("attn.qkv",)), knobs)


def test_long_inputs_leave_no_room_for_prompts(bert_base: BackboneShape) -> None:
    short, _ = feasible_methods(bert_base, 462)
    long, reasons = feasible_methods(bert_base, 463)
    assert set(short) == set(METHODS.names())
    assert set(short) - set(long) == {"prompt_tuning", "p_tuning", "attempt", "soft_template"}
    assert "512 positions" in reasons["prompt_tuning"]


@pytest.mark.parametrize("method", METHODS.names())
def test_records_are_whole(method: str) -> None:
    info = METHODS.get(method)
    assert info.description and info.paper and info.learning_rate.source
    assert info.learning_rate.median > 0 and info.learning_rate.spread > 1
    for knob in info.knobs.values():
        assert knob.help
        if knob.choices is not None:
            assert knob.default in knob.choices
        elif not isinstance(knob.default, str):
            assert knob.low is not None and knob.high is not None
            assert knob.low <= knob.default <= knob.high
    if info.placement is not None:
        assert set(info.placement.sites) <= set(info.sites)
