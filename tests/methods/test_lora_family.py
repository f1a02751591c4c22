"""What the relatives of LoRA promise beyond the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate

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
