"""A merged model whose cut neurons are gone: equal, smaller, and loaded as any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, merge, save_artifact
from autopeft.records import Candidate
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.toy import toy_for
from autopeft.tuner.slim import slim
from tests.tiny import INNER, head_for

CUT = 0.25
LEFT = INNER - round(CUT * INNER)
WIDTH = {"distilbert": "hidden_dim", "gpt2": "n_inner", "t5": "d_ff"}
SLOW = ("roberta", "distilbert", "mpnet", "deberta-v2", "modernbert", "llama", "t5", "vit")
architectures = pytest.mark.parametrize(
    "architecture",
    ["bert", "gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)


def candidate(cut: float = CUT) -> Candidate:
    return Candidate(method="dsee", learning_rate=1e-2, epochs=1, knobs={"cut": cut})


def logits(model: torch.nn.Module, backbone: Backbone) -> torch.Tensor:
    with torch.no_grad():
        return model(**toy_for(backbone).inputs).logits


@architectures
def test_the_merged_model_is_narrower_and_loads_as_a_plain_one(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    head = head_for(architecture)
    backbone = load_backbone(tiny_folder(architecture), **head)
    model = adapt(backbone, candidate(), seed=0)
    merged = merge(model)
    assert getattr(merged.config, WIDTH.get(architecture, "intermediate_size")) == LEFT
    assert merged.num_parameters() < backbone.model.num_parameters()
    torch.testing.assert_close(logits(merged, backbone), logits(model, backbone))
    merged.save_pretrained(tmp_path)
    again = type(merged).from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again, backbone), logits(merged, backbone))
    assert backbone.model.config.to_dict() != merged.config.to_dict()


@architectures
@pytest.mark.parametrize("check", CHECKS)
def test_contract_with_a_cut(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    architecture: str,
    check: str,
    made: dict[str, MethodContract],
) -> None:
    if architecture not in made:
        backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
        made[architecture] = MethodContract(
            backbone, "dsee", learning_rate=1e-2, knobs={"cut": CUT}
        )
    getattr(made[architecture], check)(tmp_path)


@pytest.fixture(scope="module")
def made() -> dict[str, MethodContract]:
    return {}


def test_a_loaded_artifact_merges_into_the_same_model(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(tiny_folder("bert"), **head_for("bert"))
    model = adapt(backbone, candidate(), seed=0)
    save_artifact(model, tmp_path, candidate())
    loaded = merge(load_artifact(backbone, tmp_path))
    for name, value in merge(model).state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_what_is_left_out_is_what_was_cut(tiny_folder: Callable[[str], Path]) -> None:
    backbone = load_backbone(tiny_folder("bert"), **head_for("bert"))
    weight = backbone.model.get_submodule("bert.encoder.layer.0.output.dense").weight
    kept = weight.norm(dim=0).argsort()[-LEFT:].sort().values
    merged = merge(adapt(backbone, candidate(), seed=0))
    narrow = merged.get_submodule("bert.encoder.layer.0.output.dense").weight
    assert torch.equal(narrow, weight[:, kept])


def test_without_the_adapter_nothing_is_cut(tiny_folder: Callable[[str], Path]) -> None:
    backbone = load_backbone(tiny_folder("bert"), **head_for("bert"))
    model = adapt(backbone, candidate(), seed=0)
    plain = adapt(backbone, candidate(cut=0.0), seed=0)
    with model.disable_adapter(), plain.disable_adapter():
        assert torch.equal(logits(model, backbone), logits(plain, backbone))
    assert not torch.allclose(logits(model, backbone), logits(plain, backbone))


def test_layers_that_lack_different_numbers_stay_as_they_are(
    tiny_folder: Callable[[str], Path],
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_folder("bert"), num_labels=2)
    for layer, neurons in ((0, 3), (1, 4)):
        weight = model.get_submodule(f"bert.encoder.layer.{layer}.output.dense").weight
        weight.data[:, :neurons] = 0
    before = {name: value.clone() for name, value in model.state_dict().items()}
    slim(model)
    assert model.config.intermediate_size == INNER
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
