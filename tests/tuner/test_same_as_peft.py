"""Where peft has a method too, ours gives and learns what peft's own modules give and learn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import nn

from autopeft.records import Placement
from autopeft.tuner import delivered
from tests.tiny import tiny_model
from tests.tuner.common import adapted, apart, config, inputs, layers, logits, parts, tiny, wrapped

CLOSE = 1e-6
MERGED = 1e-5
LEARNT = 2e-5
EVERYWHERE = {
    "bert": Placement(sites=("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out")),
    "gpt2": Placement(sites=("attn.qkv", "attn.out", "ffn.in", "ffn.out")),
}
quick = pytest.mark.parametrize("architecture", ["bert", "gpt2"])


def only(model: nn.Module, name: str) -> nn.Module:
    """Return the one delta at a module."""
    (delta,) = layers(model)[name].autopeft_deltas["default"].deltas
    return delta


def assert_same(ours: nn.Module, theirs: nn.Module, base: nn.Module) -> None:
    """They agree, and are far from the backbone, so that this says something.

    In double precision: rounding in float32 alone is as large as what is allowed, and differs from
    one kind of processor to the other.
    """
    mine, peft_s, plain = (logits(copy.deepcopy(one).double()) for one in (ours, theirs, base))
    assert apart(mine, peft_s) <= CLOSE
    assert apart(mine, plain) > 1e-2


@quick
@pytest.mark.parametrize("rslora", [False, True])
def test_lora(tiny_folder: Callable[[str], Path], architecture: str, rslora: bool) -> None:
    base, model, other = (tiny(tiny_folder(architecture)) for _ in range(3))
    some = parts(model, "lora", placement=EVERYWHERE[architecture], r=3, alpha=4, rslora=rslora)
    ours = adapted(model, some)
    names = [part.module for part in some]
    turned = architecture == "gpt2"
    theirs = wrapped(
        other,
        LoraConfig(
            r=3, lora_alpha=4, use_rslora=rslora, target_modules=names, fan_in_fan_out=turned
        ),
    )
    for name in names:
        delta, layer = only(ours, name), theirs.base_model.model.get_submodule(name)
        layer.lora_A["default"].weight.data.copy_(delta.a)
        layer.lora_B["default"].weight.data.copy_(delta.b)
    assert_same(ours, theirs, base)


@quick
def test_ia3(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    base, model, other = (tiny(tiny_folder(architecture)) for _ in range(3))
    sites = ("attn.k", "attn.v", "ffn.out")
    some = parts(model, "ia3", placement=Placement(sites=sites))
    ours = adapted(model, some)
    theirs = wrapped(
        other,
        IA3Config(
            target_modules=[part.module for part in some],
            feedforward_modules=[part.module for part in some if part.changes == "input"],
            fan_in_fan_out=architecture == "gpt2",
        ),
    )
    for part in some:
        layer = theirs.base_model.model.get_submodule(part.module)
        factors = only(ours, part.module).factors
        layer.ia3_l["default"].data.copy_(factors.view_as(layer.ia3_l["default"]))
    assert_same(ours, theirs, base)


@quick
def test_ln_tuning(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    assert_ln_tuning_agrees(tiny_folder(architecture))


def test_ln_tuning_of_norms_that_scale_by_one_plus_their_weight(tmp_path: Path) -> None:
    assert_ln_tuning_agrees(tiny_model("gemma", tmp_path, head_dim=8, num_key_value_heads=2))


def assert_ln_tuning_agrees(folder: Path) -> None:
    base, model, other = (tiny(folder) for _ in range(3))
    some = parts(model, "ln_tuning")
    ours = adapted(model, some)
    theirs = wrapped(other, LNTuningConfig(target_modules=[part.module for part in some]))
    for part in some:
        layer = theirs.base_model.model.get_submodule(part.module).ln_tuning_layers["default"]
        delta, frozen = only(ours, part.module), base.get_submodule(part.module)
        layer.weight.data.copy_(frozen.weight + delta.gain)
        if delta.offset is not None:
            layer.bias.data.copy_(frozen.bias + delta.offset)
    assert_same(ours, theirs, base)
    expected = logits(ours)
    assert apart(logits(ours.merge_and_unload()), expected) <= MERGED


@quick
def test_bitfit(tiny_folder: Callable[[str], Path], architecture: str) -> None:
    """peft trains biases in place, beside a LoRA that sits nowhere."""
    base, model, other = (tiny(tiny_folder(architecture)) for _ in range(3))
    some = parts(model, "bitfit")
    ours = adapted(model, some)
    nowhere = LoraConfig(r=1, bias="all", target_modules=DUMMY_TARGET_MODULES)
    theirs = wrapped(other, nowhere)
    trained = {name for name, p in theirs.named_parameters() if p.requires_grad}
    assert trained >= {f"base_model.model.{part.module}.bias" for part in some}
    with torch.no_grad():
        for part in some:
            bias = theirs.base_model.model.get_submodule(part.module).bias
            bias += only(ours, part.module).offset
    assert_same(ours, theirs, base)


def theirs_from(ours: nn.Module, other: nn.Module) -> nn.Module:
    """Return peft's own module with the weights that ours is delivered with."""
    config, weights = delivered(ours, get_peft_model_state_dict(ours))
    config.inference_mode = False
    theirs = wrapped(other, config)
    set_peft_model_state_dict(theirs, weights)
    return theirs


def begun_by_peft(method: str) -> Callable[[nn.Module, nn.Module], nn.Module]:
    """Return what makes peft's own module, which takes the piece out of the weight itself."""

    def make(ours: nn.Module, other: nn.Module) -> nn.Module:
        some = ours.peft_config["default"].placed()
        config = LoraConfig(
            r=3,
            lora_alpha=4,
            init_lora_weights=method,
            target_modules=[part.module for part in some],
            modules_to_save=ours.peft_config["default"].modules_to_save,
        )
        return wrapped(other.requires_grad_(False), config)

    return make


def learn(model: nn.Module, steps: int = 4) -> torch.Tensor:
    """Train all but the head for a few plain steps and return the logits then."""
    some = [p for n, p in model.named_parameters() if p.requires_grad and "modules_to" not in n]
    batch, labels = inputs(), torch.tensor([0, 1, 1, 0])
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(**batch).logits, labels)
        for parameter, gradient in zip(some, torch.autograd.grad(loss, some), strict=True):
            parameter.data -= 0.5 * gradient
    return logits(model)


@pytest.mark.parametrize(
    ("method", "knobs", "make"),
    [
        ("lora", {"r": 3, "alpha": 4}, theirs_from),
        ("dora", {"r": 3, "alpha": 4}, theirs_from),
        ("vera", {"r": 16}, theirs_from),
        ("loha", {"r": 3, "alpha": 4}, theirs_from),
        ("lokr", {"r": 2, "alpha": 4}, theirs_from),
        ("lokr", {"r": 8, "alpha": 4, "factor": 4}, theirs_from),
        ("pissa", {"r": 3, "alpha": 4}, begun_by_peft("pissa")),
        ("olora", {"r": 3, "alpha": 4}, begun_by_peft("olora")),
    ],
)
def test_it_learns_what_peft_learns(
    tiny_folder: Callable[[str], Path],
    method: str,
    knobs: dict[str, Any],
    make: Callable[[nn.Module, nn.Module], nn.Module],
) -> None:
    base, model, other = (tiny(tiny_folder("bert")) for _ in range(3))
    torch.manual_seed(0)
    ours = wrapped(model, config(parts(model, method, **knobs), model))
    theirs = make(ours, other)
    assert apart(logits(ours), logits(base)) <= MERGED  # nothing is changed at first
    assert apart(logits(ours), logits(theirs)) <= MERGED
    learnt = learn(ours)
    assert apart(learnt, learn(theirs)) <= LEARNT
    assert apart(learnt, logits(base)) > 100 * LEARNT
