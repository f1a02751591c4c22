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
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.trained import trainable
from autopeft.records import Candidate, Placement
from autopeft.testing.toy import make_toy

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
