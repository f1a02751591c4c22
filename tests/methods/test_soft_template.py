"""Soft templates: what the model reads, what the verbaliser adds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from autopeft.backbone.load import Backbone, load_backbone, outline
from autopeft.backbone.quiet import quiet
from autopeft.errors import ConfigError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import save_artifact
from autopeft.records import Candidate
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.peft_loads import check_peft_loads
from autopeft.testing.toy import make_toy
from tests.tiny import head_for, masked_model

KNOBS = {"tokens": 3, "template": "w1 {soft} w2 {mask} w3", "words": "w10/w11, w12"}
HARD = {"template": "w1 {mask} w2", "words": "w10/w11, w12"}
SLOW = ("roberta", "distilbert", "mpnet", "deberta-v2")
pytestmark = pytest.mark.xdist_group("soft template")  # one process trains each, once
architectures = ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Backbone]:
    made: dict[str, Backbone] = {}

    def load(architecture: str) -> Backbone:
        if architecture not in made:
            folder = masked_model(architecture, tmp_path_factory.mktemp(architecture))
            made[architecture] = load_backbone(folder, **head_for(architecture))
        return made[architecture]

    return load


@pytest.fixture(scope="module")
def contracts(loaded: Callable[[str], Backbone]) -> Callable[[str], MethodContract]:
    made: dict[str, MethodContract] = {}

    def contract(architecture: str) -> MethodContract:
        if architecture not in made:
            made[architecture] = MethodContract(loaded(architecture), "soft_template", knobs=KNOBS)
        return made[architecture]

    return contract


def candidate(**knobs: Any) -> Candidate:
    return Candidate(method="soft_template", learning_rate=1e-2, epochs=1, knobs=knobs)


def without_head(model: Any) -> Any:
    """Return the model with a trained head that says 0, so the verbaliser speaks alone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.zero_()
    return model


@pytest.mark.parametrize("architecture", architectures)
@pytest.mark.parametrize("check", CHECKS)
def test_contract_with_words(
    contracts: Callable[[str], MethodContract], tmp_path: Path, architecture: str, check: str
) -> None:
    getattr(contracts(architecture), check)(tmp_path)


@pytest.mark.slow
def test_peft_loads_it_in_a_fresh_process(
    contracts: Callable[[str], MethodContract], tmp_path: Path
) -> None:
    check_peft_loads(map(contracts, ("bert", *SLOW)), tmp_path)


@pytest.mark.parametrize("architecture", architectures)
def test_a_template_of_words_is_as_good_as_the_words(
    loaded: Callable[[str], Backbone], architecture: str
) -> None:
    """The scores are the pretrained model's own at the gap, for the template written out."""
    backbone = loaded(architecture)
    model = without_head(adapt(backbone, candidate(**HARD), seed=0))
    inputs = make_toy(backbone.tokenizer).inputs
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    tokenizer = backbone.tokenizer
    said = torch.tensor(tokenizer.convert_tokens_to_ids(["w1", "[MASK]", "w2"]))
    said = said.expand(len(ids), -1)
    with quiet():
        whole = AutoModelForMaskedLM.from_pretrained(backbone.name).eval()
    with torch.no_grad():
        scores = model(**inputs).logits
        own = whole(
            input_ids=torch.cat([ids[:, :1], said, ids[:, 1:]], dim=1),
            attention_mask=torch.cat([torch.ones_like(said), mask], dim=1),
        ).logits[:, 2]
    first, other, second = tokenizer.convert_tokens_to_ids(["w10", "w11", "w12"])
    expected = torch.stack([(own[:, first] + own[:, other]) / 2, own[:, second]], dim=1)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_the_head_reads_the_gap(loaded: Callable[[str], Backbone]) -> None:
    backbone = loaded("distilbert")
    model = adapt(backbone, candidate(template="w1 {mask}"), seed=0)
    read: list[torch.Tensor] = []
    head = model.get_submodule("base_model.model.pre_classifier")
    head.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    states: list[torch.Tensor] = []
    last = model.get_submodule("base_model.model.distilbert.transformer.layer.1.output_layer_norm")
    last.base_layer.register_forward_hook(lambda module, inputs, output: states.append(output))
    with torch.no_grad():
        model(**make_toy(backbone.tokenizer).inputs)
    torch.testing.assert_close(read[0], states[0][:, 2])


def test_the_artifact_holds_the_words_and_does_not_name_the_checkpoint(
    loaded: Callable[[str], Backbone], tmp_path: Path
) -> None:
    backbone = loaded("bert")
    model = adapt(backbone, candidate(**KNOBS), seed=0)
    save_artifact(model, tmp_path, candidate(**KNOBS))
    stored = load_file(tmp_path / "adapter_model.safetensors")
    (rows,) = [value for name, value in stored.items() if name.endswith(".answers")]
    vocabulary = backbone.model.get_input_embeddings().weight
    first, other, second = backbone.tokenizer.convert_tokens_to_ids(["w10", "w11", "w12"])
    assert torch.equal(rows, torch.stack([vocabulary[[first, other]].mean(0), vocabulary[second]]))
    parts = (tmp_path / "adapter_config.json").read_text().replace("base_model_name_or_path", "")
    assert '"checkpoint"' not in parts


def test_without_the_adapter_the_logits_are_the_backbones(
    loaded: Callable[[str], Backbone],
) -> None:
    backbone = loaded("bert")
    inputs = make_toy(backbone.tokenizer).inputs
    model = adapt(backbone, candidate(**KNOBS), seed=0)
    head = Candidate(method="head_only", learning_rate=1.0, epochs=1)
    with torch.no_grad(), model.disable_adapter():
        off = model(**inputs).logits
        plain = adapt(backbone, head, seed=0)
        with plain.disable_adapter():
            assert torch.equal(off, plain(**inputs).logits)


def test_count_follows_from_the_configuration(loaded: Callable[[str], Backbone]) -> None:
    backbone = loaded("bert")
    shape, _ = outline(backbone.name, **head_for("bert"))
    assert shape == backbone.shape
    info = METHODS.get("soft_template")
    assert info.count(shape, None, KNOBS) == 3 * 32
    assert info.count(shape, None, {"tokens": 3, **HARD}) == 0


def test_however_it_is_called_it_scores_the_same(loaded: Callable[[str], Backbone]) -> None:
    model = adapt(loaded("bert"), candidate(**KNOBS), seed=0)
    inputs = make_toy(loaded("bert").tokenizer).inputs
    with torch.no_grad():
        expected = model(**inputs).logits
        assert torch.equal(model(**inputs, return_dict=False)[0], expected)
        assert torch.equal(model.get_base_model()(**inputs).logits, expected)


def test_labels_are_refused_because_the_models_loss_comes_too_early(
    loaded: Callable[[str], Backbone],
) -> None:
    toy = make_toy(loaded("bert").tokenizer)
    with pytest.raises(ValueError, match="give no labels"):
        adapt(loaded("bert"), candidate(**KNOBS), seed=0)(**toy.inputs, labels=toy.labels)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"template": "{soft} w1"}, "must hold {mask} once"),
        ({"template": "{mask} {mask}"}, "must hold {mask} once"),
        ({"template": "{soft} unheard {mask}"}, "does not know all words of 'unheard'"),
        ({"template": "{mask}" + " w1" * 50}, "51 tokens, at most 50"),
        ({"words": "w1 w2, w3"}, "'w1 w2' is 2 tokens"),
        ({"words": "w1,"}, "'' is 0 tokens"),
        ({"words": "w1, w2, w3"}, "words for 3 classes, but there are 2"),
    ],
)
def test_what_cannot_be_a_template_is_said(
    loaded: Callable[[str], Backbone], knobs: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", r"\{")):
        adapt(loaded("bert"), candidate(**knobs), seed=0)


def test_words_need_a_head_for_masked_words(tiny_folder: Callable[[str], Path]) -> None:
    backbone = load_backbone(tiny_folder("bert"), **head_for("bert"))
    with pytest.raises(ConfigError, match="holds no head for masked words"):
        adapt(backbone, candidate(words="w1, w2"), seed=0)


def test_words_need_a_tokenizer(loaded: Callable[[str], Backbone]) -> None:
    shape = replace(loaded("bert").shape, checkpoint="")
    with pytest.raises(ConfigError, match="needs the tokenizer"):
        METHODS.get("soft_template").count(shape, None, {"tokens": 3, **HARD})
