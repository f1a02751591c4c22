"""Adapting a shared backbone: seeds, knobs, refusals and damaged artifacts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.errors import ConfigError, IncompatibleMethodError, ModelError
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.trained import load_trainable_state, trainable, trainable_state
from autopeft.records import Candidate, Placement
from autopeft.testing.toy import make_toy

HEAD = {"auto_class": "AutoModelForSequenceClassification"}
LORA = Candidate(method="lora", learning_rate=1e-3, epochs=1)


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), model_options={"num_labels": 2}, **HEAD)


def logits(model: torch.nn.Module, backbone: Backbone) -> torch.Tensor:
    with torch.no_grad():
        return model(**make_toy(backbone.tokenizer).inputs).logits


def test_methods_can_be_listed_without_torch() -> None:
    code = (
        "import sys; from autopeft.methods import METHODS; assert len(METHODS.names()) > 12; "
        "assert len(METHODS.further()) > 12; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'peft', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_global_random_state_is_left_alone(bert: Backbone) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    adapt(bert, LORA, seed=5)
    assert torch.rand(1) == expected


def test_same_seed_gives_the_same_model(bert: Backbone) -> None:
    one, other = (trainable_state(adapt(bert, LORA, seed=5)) for _ in range(2))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_placement_restricts_the_layers(bert: Backbone) -> None:
    place = Placement(sites=("attn.out",), layers="top:1")
    candidate = Candidate(method="lora", learning_rate=1e-3, epochs=1, placement=place)
    adapted = adapt(bert, candidate, seed=0)
    trained = [n for n, p in adapted.named_parameters() if p.requires_grad and "deltas" in n]
    assert len(trained) == 2
    assert all("layer.1.attention.output.dense" in name for name in trained)
    assert trainable(adapted)[0] == 8 * (32 + 32)


def test_unknown_knob_is_refused(bert: Backbone) -> None:
    candidate = Candidate(method="lora", learning_rate=1e-3, epochs=1, knobs={"rank": 4})
    with pytest.raises(ConfigError, match="lora has no knob 'rank'; its knobs are r, alpha"):
        adapt(bert, candidate, seed=0)


def test_method_that_needs_the_number_of_steps_says_so(bert: Backbone) -> None:
    candidate = Candidate(method="adalora", learning_rate=1e-3, epochs=1)
    with pytest.raises(ConfigError, match="total_steps"):
        adapt(bert, candidate, seed=0)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_adalora_trains_however_few_the_steps(bert: Backbone, tmp_path: Path, steps: int) -> None:
    from autopeft.methods import METHODS

    candidate = Candidate(method="adalora", learning_rate=1e-2, epochs=1, knobs={"r": 1})
    model = adapt(bert, candidate, seed=0, total_steps=steps)
    info, toy = METHODS.get("adalora"), make_toy(bert.tokenizer)
    assert info.after_step is not None
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(steps):
        loss = torch.nn.functional.cross_entropy(model(**toy.inputs).logits, toy.labels)
        loss.backward()
        optimizer.step()
        info.after_step(model, step + 1)
        optimizer.zero_grad()
    save_artifact(model, tmp_path, candidate)
    again = logits(load_artifact(bert, tmp_path), bert)
    assert torch.allclose(again, logits(model, bert), atol=1e-5)


def test_excluded_method_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    llama = load_backbone(tiny_folder("llama"), model_options={"num_labels": 2}, **HEAD)
    with pytest.raises(IncompatibleMethodError, match="bitfit: this llama has no biases"):
        adapt(llama, Candidate(method="bitfit", learning_rate=1e-3, epochs=1), seed=0)


def test_state_of_another_model_is_refused(bert: Backbone) -> None:
    other = adapt(bert, Candidate(method="ia3", learning_rate=1e-3, epochs=1), seed=0)
    with pytest.raises(ValueError, match="another model"):
        load_trainable_state(other, trainable_state(adapt(bert, LORA, seed=0)))


def test_damaged_artifact_is_a_model_error(bert: Backbone, tmp_path: Path) -> None:
    save_artifact(adapt(bert, LORA, seed=0), tmp_path, LORA)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load_artifact(bert, tmp_path)


def test_artifact_of_another_architecture_is_refused(
    bert: Backbone, tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    save_artifact(adapt(bert, LORA, seed=0), tmp_path, LORA)
    other = load_backbone(tiny_folder("mpnet"), model_options={"num_labels": 2}, **HEAD)
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load_artifact(other, tmp_path)


def test_empty_folder_holds_no_artifact(bert: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds neither adapter_config\.json"):
        load_artifact(bert, tmp_path)
