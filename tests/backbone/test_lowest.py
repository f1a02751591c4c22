"""So many layers lie below everything that trains, and never one more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.lowest import lowest_trained_layer
from autopeft.backbone.share import share
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate, Placement
from tests.tiny import ARCHITECTURES, head_for, tiny_model
from tests.tuner.common import wrapped

DEPTH = 4

Load = Callable[[str], Backbone]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function from an architecture to a tiny classifier of four layers."""
    loaded: dict[str, Backbone] = {}
    other = {"t5": "num_layers", "gpt2": "n_layer", "distilbert": "n_layers"}

    def get(architecture: str) -> Backbone:
        if architecture not in loaded:
            depth = {other.get(architecture, "num_hidden_layers"): DEPTH}
            folder = tiny_model(architecture, tmp_path_factory.mktemp(architecture), **depth)
            loaded[architecture] = load_backbone(folder, **head_for(architecture))
        return loaded[architecture]

    return get


def lowest(backbone: Backbone, method: str, layers: str | None = None) -> int:
    placement = METHODS.get(method).placement
    if layers is not None:
        assert placement is not None
        placement = Placement(sites=placement.sites, layers=layers)
    candidate = Candidate(method=method, learning_rate=1e-3, epochs=1, placement=placement)
    return lowest_trained_layer(adapt(backbone, candidate, seed=0, total_steps=10))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapter_is_as_low_as_its_lowest_layer(load: Load, architecture: str) -> None:
    for layers, expected in (("all", 0), ("2-3", 2), ("mask:0101", 1), ("top:1", 3)):
        rule = layers
        if architecture == "t5":  # the decoder's one layer counts too
            rule = {"mask:0101": "mask:01011", "top:1": "3-4"}.get(layers, layers)
        assert lowest(load(architecture), "lora", rule) == expected
        assert lowest(load(architecture), "dora", rule) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_head_alone_leaves_all_layers(load: Load, architecture: str) -> None:
    assert lowest(load(architecture), "head_only") == DEPTH


@pytest.mark.parametrize("method", ["bitfit", "full"])
def test_what_trains_before_the_layers_leaves_none(load: Load, method: str) -> None:
    assert lowest(load("bert"), method) == 0


@pytest.mark.parametrize("method", ["prefix", "houlsby", "unipelt", "partial", "ln_tuning"])
def test_every_kind_of_adapter_is_seen(load: Load, method: str) -> None:
    assert lowest(load("bert"), method, "top:1") == 3
    assert lowest(load("bert"), method, "1-2") == 1


def test_soft_prompt_leaves_none(load: Load) -> None:
    assert lowest(load("bert"), "prompt_tuning") == 0


def test_decoder_reads_the_encoder_only_when_it_is_done(load: Load) -> None:
    assert lowest(load("t5"), "lora", "4-4") == DEPTH


@pytest.mark.parametrize("name", ["shared.weight", "encoder.final_layer_norm.weight"])
def test_whatever_is_not_known_to_come_later_counts_as_before(load: Load, name: str) -> None:
    model = share(load("t5").model)
    model.get_parameter(f"transformer.{name}").requires_grad = True
    assert lowest_trained_layer(model) == 0


def test_pooler_comes_later(load: Load) -> None:
    model = share(load("bert").model)
    assert lowest_trained_layer(model) == DEPTH
    model.get_parameter("bert.pooler.dense.weight").requires_grad = True
    assert lowest_trained_layer(model) == DEPTH
    model.get_parameter("bert.encoder.layer.2.output.dense.bias").requires_grad = True
    assert lowest_trained_layer(model) == 2


def test_tied_weight_counts_wherever_it_is_used(load: Load) -> None:
    model = share(load("bert").model)
    model.classifier.weight = model.bert.encoder.layer[1].output.dense.weight
    model.classifier.weight.requires_grad = True
    assert lowest_trained_layer(model) == 1


def test_frozen_adapter_counts_too(load: Load) -> None:
    config = LoraConfig(target_modules=r".*layer\.2\..*query")
    model = wrapped(share(load("bert").model), config).requires_grad_(False)
    assert lowest_trained_layer(model) == 2


def test_prompt_of_the_wrapper_leaves_none(load: Load) -> None:
    config = PrefixTuningConfig(num_virtual_tokens=2, task_type="SEQ_CLS")
    assert lowest_trained_layer(wrapped(share(load("bert").model), config)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("method", sorted(METHODS.names()))
def test_what_lies_below_gives_the_same_after_training(
    load: Load, architecture: str, method: str
) -> None:
    from autopeft.backbone.replay import record

    backbone, info = load(architecture), METHODS.get(method)
    if info.excluded(backbone.shape, 8) is not None:
        pytest.skip("excluded")
    top = {"t5": "3-4"}.get(architecture, "top:1")
    placement = info.placement and Placement(sites=info.placement.sites, layers=top)
    candidate = Candidate(method=method, learning_rate=1e-3, epochs=1, placement=placement)
    model = adapt(backbone, candidate, seed=0, total_steps=10)
    k = lowest_trained_layer(model)
    if k == 0:
        pytest.skip("it trains from the lowest layer on")
    ids = torch.tensor([[5, 6, 7, 8, 3]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    # a prefix above comes with an attention of its own, which rounds otherwise
    assert (record(model, k, batch) - record(backbone.model, k, batch)).abs().max() < 1e-5
