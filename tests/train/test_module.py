"""One training step: what is in training mode, the schedule, the clipped gradient."""

from __future__ import annotations

import pytest
import torch

from autopeft.backbone.load import Backbone
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.train.member import Member
from autopeft.train.module import PackModule, training_mode
from autopeft.train.runner import Runner
from autopeft.tuner import DeltaLayer


def dropouts(model: torch.nn.Module) -> dict[str, bool]:
    return {n: m.training for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}


def test_dropout_is_on_in_adapters_and_off_in_backbone_and_head(bert: Backbone) -> None:
    candidate = Candidate(method="lora", learning_rate=1e-2, epochs=1, knobs={"dropout": 0.1})
    model = adapt(bert, candidate, seed=0).train()
    training_mode(model)
    layers = [module for module in model.modules() if isinstance(module, DeltaLayer)]
    assert len(layers) == 4
    assert all(layer.autopeft_deltas["default"].training for layer in layers)
    assert not any(layer.base_layer.training for layer in layers)
    assert not any(dropouts(model).values())
    assert not model.get_submodule("base_model.model.classifier").training


@pytest.mark.parametrize("method", ["full", "head_only", "bitfit"])
def test_without_adapter_layers_every_dropout_is_off(bert: Backbone, method: str) -> None:
    model = adapt(bert, Candidate(method=method, learning_rate=1e-2, epochs=1), seed=0).train()
    training_mode(model)
    assert not any(dropouts(model).values())


def test_rate_warms_up_and_falls_to_nearly_nothing(bert: Backbone) -> None:
    candidate = Candidate(method="head_only", learning_rate=0.5, epochs=1, warmup_ratio=0.2)
    member = Member(0, candidate, adapt(bert, candidate, seed=0), seed=0, steps_per_epoch=10)
    module = PackModule(
        [member], lambda _: Runner(member.model), loss=torch.nn.functional.cross_entropy
    )
    (optimizer,), (plan,) = module.configure_optimizers()
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan["scheduler"].step()
    assert rates[:3] == [0.25, 0.5, 0.5]
    assert rates[2:] == pytest.approx([0.5 * (10 - step) / 8 for step in range(2, 10)])
    assert optimizer.param_groups[0]["lr"] == 0.0
