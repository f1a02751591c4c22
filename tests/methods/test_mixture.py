"""The general mixture: its parts, gates and layers, and the methods that are points of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.outline import backbone_shape
from autopeft.deltas import Part
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.mixture import KINDS, KNOBS, knobs_of, recipe
from autopeft.methods.trained import trainable
from autopeft.records import BackboneShape, Candidate, Placement
from autopeft.search.load import load_space
from autopeft.testing.toy import make_toy
from tests.tiny import tiny_model

ARCHITECTURES = (
    "bert", "gpt2", "llama", "distilbert", "deberta-v2", "modernbert", "roberta", "mpnet",
)  # fmt: skip
HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
NOTHING = {name: knob.default for name, knob in KNOBS.items()} | {"serial": 0, "lora": 0}
EVERYTHING = NOTHING | {
    "serial": 3,
    "serial_attention": 6,
    "parallel": 12,
    "prefix": 3,
    "lora": 2,
    "ia3": True,
    "norms": True,
}


@pytest.fixture(scope="module")
def bert_base() -> BackboneShape:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(BertConfig())
    return backbone_shape(model, ("classifier",))


@pytest.fixture
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[[str], Backbone]:
    return lambda architecture: load_backbone(tiny_folder(architecture), **HEAD)


def place(layers: str = "all", *sites: str) -> Placement:
    return Placement(sites=sites or ("attn.block", "ffn.block"), layers=layers)


def count(shape: BackboneShape, placement: Placement | None = None, **knobs: Any) -> int:
    return METHODS.get("mixture").count(shape, placement, NOTHING | knobs)


def as_set(parts: list[Part]) -> set[str]:
    return {repr(part.to_json()) for part in parts}


def test_other_methods_are_points_of_it(bert_base: BackboneShape) -> None:
    """With the same parts at the same modules."""

    def parts_of(method: str, **knobs: Any) -> set[str]:
        info = METHODS.get(method)
        assert info.recipe is not None
        defaults = {name: knob.default for name, knob in info.knobs.items()}
        return as_set(list(info.recipe(bert_base, info.placement, defaults | knobs)))

    def mixed(**knobs: Any) -> set[str]:
        return as_set(recipe(bert_base, place("all"), NOTHING | knobs))

    assert mixed(serial=48, prefix=10, lora=8) == parts_of("unipelt")
    assert mixed(serial=48, prefix=10) == parts_of("unipelt_ap")
    assert mixed(ia3=True, gates="none") == parts_of("ia3")
    assert mixed(norms=True) == parts_of("ln_tuning")
    assert mixed(prefix=10, gates="none") == parts_of("p_tuning_v2", tokens=10)


def test_sizes_add_up_on_bert_base(bert_base: BackboneShape) -> None:
    """A configuration of AutoPEFT's space: serial 96, parallel 24, prefix 3 in seven layers."""
    layers = place("mask:011110010110")
    # adapters 96 · 1537 + 768 = 148,320 and 24 · 1537 + 768 = 37,656, prefix 3 · 2 · 768 = 4608
    knobs = {"serial": 96, "parallel": 24, "prefix": 3}
    assert count(bert_base, layers, **knobs, gates="none") == 7 * 190_584
    # three gates of 769 in each layer, or one
    assert count(bert_base, layers, **knobs, gates="own") == 7 * (190_584 + 3 * 769)
    assert count(bert_base, layers, **knobs, gates="shared") == 7 * (190_584 + 769)


def test_a_kind_may_have_layers_of_its_own(bert_base: BackboneShape) -> None:
    knobs = {"serial": 48, "lora": 8, "gates": "none"}
    # 74,544 an adapter; 12,288 an update of one projection
    some = {"serial_layers": "top:2", "lora_q_layers": "none", "lora_v_layers": "mask:101000000000"}
    assert count(bert_base, **knobs, **some) == 2 * 74_544 + 2 * 12_288
    assert count(
        bert_base, place("top:1"), **knobs, serial_layers="top:2", lora_v_layers="0-3"
    ) == (74_544 + 12_288)
    assert count(bert_base, place("all", "ffn.block"), **knobs) == 12 * 74_544


def test_nothing_is_refused(bert_base: BackboneShape) -> None:
    with pytest.raises(IncompatibleMethodError, match="the head alone; give one of serial"):
        count(bert_base)
    with pytest.raises(IncompatibleMethodError, match="the head alone"):
        count(bert_base, serial=48, serial_layers="none")
    with pytest.raises(IncompatibleMethodError, match="names none of 12 layers"):
        count(bert_base, place("mask:000000000000"), serial=48)
    with pytest.raises(IncompatibleMethodError, match="layers 'tip:3'; allowed: all"):
        count(bert_base, serial=48, serial_layers="tip:3")


def test_norms_have_no_gate_and_every_other_part_has(bert_base: BackboneShape) -> None:
    for gates in ("own", "shared"):
        parts = recipe(bert_base, place(), EVERYTHING | {"gates": gates})
        assert all(bool(part.gate) == (part.delta != "norm") for part in parts)
        assert {part.delta for part in parts} == {
            "bottleneck", "prefix", "low_rank", "scale", "norm",
        }  # fmt: skip


@pytest.mark.parametrize("gates", ["none", "own", "shared"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_everything_together_runs_counts_and_comes_back(
    tiny: Callable[[str], Backbone], tmp_path: Path, architecture: str, gates: str
) -> None:
    backbone = tiny(architecture)
    own_attention = architecture in ("mpnet", "deberta-v2")
    knobs = EVERYTHING | {"gates": gates, "prefix": 0 if own_attention else 3}
    candidate = Candidate(method="mixture", learning_rate=1e-2, epochs=1, knobs=knobs)
    model = adapt(backbone, candidate, seed=0)
    assert trainable(model)[0] == METHODS.get("mixture").count(backbone.shape, None, knobs)
    toy = make_toy(backbone.tokenizer)
    trained = [p for n, p in model.named_parameters() if p.requires_grad and "autopeft" in n]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(model(**toy.inputs).logits, toy.labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None for p in trained)
    save_artifact(model, tmp_path, candidate)
    with torch.no_grad():
        expected = model(**toy.inputs).logits
        loaded = load_artifact(backbone, tmp_path)(**toy.inputs).logits
        padded = model(**toy.padded).logits
    assert (loaded - expected).abs().max() < 1e-5
    assert (padded - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    "knobs",
    [
        {"serial": 48, "serial_layers": "mask:101010101010"},
        {"lora": 8, "lora_q_layers": "none", "lora_v_layers": "top:3"},
        {"parallel": 6, "scale": 2.0, "prefix": 3, "prefix_layers": "1-3"},
        {name: value for name, value in EVERYTHING.items() if name != "gates"},
    ],
)
def test_knobs_are_found_again_from_parts(bert_base: BackboneShape, knobs: dict[str, Any]) -> None:
    given = NOTHING | knobs | {"gates": "none"}
    assert knobs_of(recipe(bert_base, place(), given), 12) == given


def test_every_kind_has_a_size_and_layers() -> None:
    assert {kind.knob for kind in KINDS.values()} | {f"{name}_layers" for name in KINDS} <= set(
        KNOBS
    )


def test_a_prefix_where_none_is_possible_is_left_out_of_the_space(
    tiny: Callable[[str], Backbone], tmp_path: Path
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("methods: {mixture: {prefix: [0, 12], serial: [0, 6]}}\n", encoding="utf-8")
    shape = tiny("deberta-v2").shape
    assert METHODS.get("mixture").excluded(shape, 24) is None
    space = load_space(file).restrict(shape=shape)
    assert space.methods["mixture"].dimensions["prefix"].values == (0,)  # type: ignore[union-attr]
    assert space.methods["mixture"].dimensions["serial"].values == (0, 6)  # type: ignore[union-attr]
    file.write_text("methods: {ia3: , mixture: {prefix: 12}}\n", encoding="utf-8")
    space = load_space(file).restrict(shape=shape)
    assert list(space.methods) == ["ia3"]
    assert "computes its attention itself" in space.excluded["mixture"]


def test_no_gate_reads_what_is_of_no_example(
    tiny: Callable[[str], Backbone], tmp_path: Path
) -> None:
    """DeBERTa's checkpoints run queries and keys on positions, Longformer on (S, B, D)."""
    folder = tiny_model("deberta-v2", tmp_path, share_att_key=True)
    backbone = load_backbone(folder, **HEAD)
    info = METHODS.get("mixture")
    toy = make_toy(backbone.tokenizer)
    for shape in (backbone.shape, tiny("longformer").shape):
        assert info.excluded(shape, 24) is None
        for gates in ("own", "shared"):
            with pytest.raises(IncompatibleMethodError, match=f"{shape.architecture}.* attn.q"):
                info.count(shape, place(), NOTHING | {"lora": 2, "gates": gates})
        info.count(shape, place(), NOTHING | {"lora": 2, "gates": "none"})
        info.count(shape, place(), NOTHING | {"serial": 2, "gates": "own"})
    for knobs in (
        {"lora": 2, "ia3": True, "parallel": 3, "gates": "none"},
        {"serial": 2, "serial_attention": 3, "parallel": 3, "gates": "own"},
        {"serial": 2, "parallel": 3, "gates": "shared"},
    ):
        candidate = Candidate(method="mixture", learning_rate=1e-2, epochs=1, knobs=NOTHING | knobs)
        model = adapt(backbone, candidate, seed=0)
        torch.nn.functional.cross_entropy(model(**toy.inputs).logits, toy.labels).backward()
        with torch.no_grad():
            apart = model(**toy.inputs).logits - model(**toy.padded).logits
        assert apart.abs().max() < 1e-4
