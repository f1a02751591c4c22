"""What the relatives of LoRA promise beyond the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.trained import trainable
from autopeft.records import Candidate, Placement

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **HEAD)


def test_the_frozen_half_of_lora_fa_stays_frozen_when_its_adapter_is_chosen(bert: Backbone) -> None:
    model = adapt(bert, Candidate(method="lora_fa", learning_rate=1e-3, epochs=1), seed=0)
    model.set_adapter("default")
    trained = {n for n, p in model.named_parameters() if p.requires_grad and "deltas" in n}
    assert {name.rpartition(".")[2] for name in trained} == {"b"}
    ids = torch.tensor([[2, 5, 3]])
    model(input_ids=ids).logits.sum().backward()
    halves = {n: p for n, p in model.named_parameters() if n.endswith((".a", ".b"))}
    assert len(halves) == 2 * len(trained)
    assert all((p.grad is None) == n.endswith(".a") for n, p in halves.items())


@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_no_weight_of_the_backbone_is_copied(bert: Backbone, method: str) -> None:
    model = adapt(bert, Candidate(method=method, learning_rate=1e-3, epochs=1), seed=0)
    shared = {p.data_ptr() for p in bert.model.parameters()}
    own = {name for name, p in model.named_parameters() if p.data_ptr() not in shared}
    assert own and all(".autopeft_deltas." in name or "classifier" in name for name in own)


@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_artifact_is_a_plain_lora_of_twice_the_rank(
    bert: Backbone, tmp_path: Path, method: str
) -> None:
    candidate = Candidate(method=method, learning_rate=1e-3, epochs=1, knobs={"r": 4, "alpha": 6})
    model = adapt(bert, candidate, seed=0)
    save_artifact(model, tmp_path, candidate)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 12, True)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    halves = [v for n, v in tensors.items() if n.endswith("query.lora_B.weight")]
    assert halves and all(torch.equal(half[:, :4], -half[:, 4:]) for half in halves)


def test_rank_is_at_most_that_of_the_narrowest_weight(bert: Backbone, tmp_path: Path) -> None:
    candidate = Candidate(method="pissa", learning_rate=1e-3, epochs=1, knobs={"r": 64})
    model = adapt(bert, candidate, seed=0)
    assert trainable(model)[0] == 4 * 32 * (32 + 32)
    counted = METHODS.get("pissa").count(
        bert.shape, Placement(sites=("attn.q", "attn.v")), {"r": 64, "alpha": 8}
    )
    assert counted == trainable(model)[0]
    save_artifact(model, tmp_path, candidate)
    ids = torch.tensor([[2, 5, 3]])
    with torch.no_grad():
        again = load_artifact(bert, tmp_path)(input_ids=ids).logits
        assert torch.allclose(again, model(input_ids=ids).logits, atol=1e-5)
