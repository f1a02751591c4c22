"""Reading gates: their means and spread over examples, and a model that stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods.adapt import adapt
from autopeft.methods.mixture import kind_of
from autopeft.records import Candidate
from autopeft.testing.toy import make_toy
from autopeft.tuner import DeltaLayer, GateMean, reading_gates


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(
        tiny_folder("bert"),
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 2},
    )


def mixed(backbone: Backbone, **knobs: Any) -> torch.nn.Module:
    return adapt(
        backbone, Candidate(method="mixture", learning_rate=1.0, epochs=1, knobs=knobs), seed=0
    )


def means(
    model: torch.nn.Module, batches: Sequence[dict[str, torch.Tensor]]
) -> tuple[GateMean, ...]:
    with reading_gates(model) as reader, torch.inference_mode():
        for batch in batches:
            model(**batch)
    return reader.means()


def test_means_are_those_of_the_gates_over_real_tokens(bert: Backbone) -> None:
    model, toy = mixed(bert, serial=3, lora=2), make_toy(bert.tokenizer)
    inputs: dict[str, torch.Tensor] = {}
    layers = {m.name: m for m in model.modules() if isinstance(m, DeltaLayer)}
    hooks = [
        layer.base_layer.register_forward_hook(
            lambda module, x, y, name=name: inputs.update({name: (x[0], y)})
        )
        for name, layer in layers.items()
    ]
    found = means(model, [toy.inputs])
    for hook in hooks:
        hook.remove()
    assert len(found) == 2 * 3
    mask = toy.inputs["attention_mask"].float()
    for one in found:
        deltas = layers[one.part.module].autopeft_deltas["default"]
        linear = deltas.actors[deltas.parts.index(one.part)].gate.linear
        read = inputs[one.part.module][0 if one.part.reads == "input" else 1]
        with torch.no_grad():
            each = torch.sigmoid(linear(read).squeeze(-1))
        values = (each * mask).sum(dim=1) / mask.sum(dim=1)
        assert one.mean == pytest.approx(values.mean().item(), abs=1e-6)
        assert one.spread == pytest.approx(values.std(correction=0).item(), abs=1e-6)
        assert one.spread > 0


def test_batches_are_weighed_by_their_examples(bert: Backbone) -> None:
    model, toy = mixed(bert), make_toy(bert.tokenizer)
    whole = means(model, [toy.inputs])
    cut = ({name: value[:3] for name, value in toy.inputs.items()},
           {name: value[3:] for name, value in toy.inputs.items()})  # fmt: skip
    for one, other in zip(whole, means(model, cut), strict=True):
        assert one.part == other.part
        assert other.mean == pytest.approx(one.mean, abs=1e-6)
        assert other.spread == pytest.approx(one.spread, abs=1e-6)


def test_a_shared_gate_says_the_same_of_all_parts_of_its_layer(bert: Backbone) -> None:
    model, toy = mixed(bert, prefix=3, ia3=True, gates="shared"), make_toy(bert.tokenizer)
    found = means(model, [toy.inputs])
    for layer in (0, 1):
        there = {kind_of(one.part): one.mean for one in found if one.part.layer == layer}
        assert set(there) == {"serial", "prefix", "lora_q", "lora_v", "ia3"}
        assert len(set(there.values())) == 1


def test_reading_leaves_the_model_as_it_was(bert: Backbone) -> None:
    model, toy = mixed(bert), make_toy(bert.tokenizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    hooks = [len(module._forward_hooks) for module in model.modules()]
    with reading_gates(model) as reader:
        model(**toy.inputs)
    assert len(reader.means()) == 2 * 3
    assert model.training
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(**toy.inputs)
    assert len(reader.means()) == 2 * 3


def test_a_model_without_gates_has_none(bert: Backbone) -> None:
    assert means(mixed(bert, gates="none"), [make_toy(bert.tokenizer).inputs]) == ()
