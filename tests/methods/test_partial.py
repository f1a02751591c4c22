"""Partial fine-tuning trains what its placement names, in copies, and stores that alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.share import share
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.trained import trainable
from autopeft.records import Candidate, Placement, Scalar
from autopeft.testing.method_suite import MethodContract
from autopeft.testing.toy import make_toy
from tests.tiny import HIDDEN, POSITIONS, SPECIAL, WORDS, head_for

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
LAYER = Placement(
    sites=("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out", "norm"), layers="top:1"
)


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **HEAD)


def candidate(placement: Placement) -> Candidate:
    return Candidate(method="partial", learning_rate=1e-3, epochs=1, placement=placement)


def test_all_sites_of_a_layer_are_the_whole_layer(bert: Backbone, tmp_path: Path) -> None:
    model = adapt(bert, candidate(LAYER), seed=0)
    layer = bert.model.get_submodule("bert.encoder.layer.1")
    assert trainable(model)[0] == sum(p.numel() for p in layer.parameters())
    save_artifact(model, tmp_path, candidate(LAYER))
    with safe_open(str(tmp_path / "adapter_model.safetensors"), "pt") as artifact:
        stored = {name.removeprefix("base_model.model.") for name in artifact.keys()}  # noqa: SIM118
    head = {"classifier.weight", "classifier.bias"}
    assert stored == head | {f"bert.encoder.layer.1.{name}" for name, _ in layer.named_parameters()}


@pytest.mark.parametrize("sites", [("norm",), ("ffn.in", "norm"), ("attn.v",)])
@pytest.mark.parametrize("layers", ["all", "bottom:1"])
def test_count_follows_the_placement(bert: Backbone, sites: tuple[str, ...], layers: str) -> None:
    place = Placement(sites=sites, layers=layers)
    counted = METHODS.get("partial").count(bert.shape, place, {})
    assert trainable(adapt(bert, candidate(place), seed=0))[0] == counted > 0


def test_trained_weights_keep_their_precision_on_a_backbone_of_16_bit(
    bert: Backbone, tmp_path: Path
) -> None:
    narrow = replace(bert, model=share(bert.model).to(torch.bfloat16))
    model = adapt(narrow, candidate(LAYER), seed=0)
    trained = [p for n, p in model.named_parameters() if p.requires_grad and "bert." in n]
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(1e-4 * torch.randn_like(parameter))
    save_artifact(model, tmp_path, candidate(LAYER))
    loaded = load_artifact(narrow, tmp_path)
    copies = {n: p for n, p in loaded.named_parameters() if "modules_to_save.default" in n}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(copies[name], parameter), name
    inputs = make_toy(bert.tokenizer).inputs
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


WORD_TABLE, POSITION_TABLE = HIDDEN * len((*SPECIAL, *WORDS)), HIDDEN * POSITIONS


@pytest.mark.parametrize(
    ("method", "knobs", "counted"),
    [
        ("embeddings", {}, WORD_TABLE),
        ("embeddings", {"embeddings": "positions"}, POSITION_TABLE),
        ("embeddings", {"embeddings": "both"}, WORD_TABLE + POSITION_TABLE),
        ("partial", {"embeddings": "positions"}, POSITION_TABLE + 8 * HIDDEN * (HIDDEN + 1)),
    ],
)
def test_embeddings_train_alone_or_besides(
    bert: Backbone, tmp_path: Path, method: str, knobs: dict[str, Scalar], counted: int
) -> None:
    contract = MethodContract(bert, method, knobs=knobs)
    assert trainable(contract.model)[0] == counted
    for check in ("loss_falls", "base_is_untouched", "trains_what_it_declares", "count_is_exact"):
        getattr(contract, f"check_{check}")(tmp_path)
    contract.check_save_then_load_gives_equal_logits(tmp_path)
    contract.check_merge_gives_equal_logits(tmp_path)


def test_trained_positions_are_extra_ones_added_to_the_frozen(bert: Backbone) -> None:
    knobs: dict[str, Scalar] = {"embeddings": "positions"}
    contract = MethodContract(bert, "embeddings", knobs=knobs)
    (trained,) = [
        p for n, p in contract.model.named_parameters() if p.requires_grad and "position" in n
    ]
    frozen = bert.model.get_submodule("bert.embeddings.position_embeddings")
    plain = MethodContract(bert, "head_only").model
    for head in bert.heads:
        name = f"base_model.model.{head}.modules_to_save.default"
        plain.get_submodule(name).load_state_dict(contract.model.get_submodule(name).state_dict())
    extra = trained.detach() - frozen.weight
    hook = plain.get_submodule("base_model.model.bert.embeddings.position_embeddings")
    hook.register_forward_hook(lambda module, inputs, output: output + extra[inputs[0]])
    with torch.no_grad():
        both = [model(**contract.toy.inputs).logits for model in (plain, contract.model)]
    torch.testing.assert_close(*both, rtol=0, atol=1e-5)


def test_positions_of_the_encoder_train_besides(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(tiny_folder("bart"), **head_for("bart"))
    contract = MethodContract(backbone, "partial", knobs={"embeddings": "positions"})
    trained = {n for n, p in contract.model.named_parameters() if p.requires_grad}
    assert [name for name in trained if "embed" in name] == [
        "base_model.model.model.encoder.embed_positions.modules_to_save.default.weight"
    ]
    contract.check_count_is_exact(tmp_path)
    contract.check_every_trained_tensor_gets_a_gradient(tmp_path)
    contract.check_save_then_load_gives_equal_logits(tmp_path)


def test_attention_over_the_encoder_trains_if_asked(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(tiny_folder("t5"), **head_for("t5"))
    contract = MethodContract(backbone, "partial", knobs={"cross": True})
    names = {n for n, p in contract.model.named_parameters() if p.requires_grad}
    assert sum("EncDecAttention" in name for name in names) == 4
    own = backbone.shape.layers * 4 * HIDDEN**2
    assert trainable(contract.model)[0] == own + 4 * HIDDEN**2
    contract.check_every_trained_tensor_gets_a_gradient(tmp_path)
    contract.check_save_then_load_gives_equal_logits(tmp_path)


@pytest.mark.parametrize(
    ("architecture", "method", "knobs", "said"),
    [
        ("bert", "partial", {"cross": True}, "no attention over an encoder"),
        ("modernbert", "partial", {"embeddings": "positions"}, "no table of positions"),
        ("t5", "embeddings", {}, "no word embedding of one side alone"),
    ],
)
def test_what_a_backbone_lacks_is_said(
    tiny_folder: Callable[[str], Path],
    architecture: str,
    method: str,
    knobs: dict[str, Scalar],
    said: str,
) -> None:
    backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
    chosen = Candidate(method=method, learning_rate=1e-3, epochs=1, knobs=knobs)
    with pytest.raises(IncompatibleMethodError, match=said):
        adapt(backbone, chosen, seed=0)
