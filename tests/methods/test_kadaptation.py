"""KAdaptation at the modules whose states fill the fewest dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autopeft.backbone.intrinsic import intrinsic_dimensions
from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.share import share
from autopeft.errors import ConfigError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.methods.kadaptation import chosen_modules
from autopeft.records import BackboneShape, Candidate
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.toy import make_toy
from autopeft.tuner import parts_of
from tests.tiny import head_for

NAMED = "attn.q:10 ffn.out:01"
SQUARE = ("attn.q", "attn.k", "attn.v", "attn.out")


@pytest.fixture(scope="module")
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **head_for("bert"))


@pytest.fixture(scope="module")
def contract(bert: Backbone) -> MethodContract:
    return MethodContract(bert, "kadaptation", knobs={"modules": NAMED})


def count(shape: BackboneShape, modules: str) -> int:
    info = METHODS.get("kadaptation")
    knobs = {name: knob.default for name, knob in info.knobs.items()} | {"modules": modules}
    return info.count(shape, info.placement, knobs)


@pytest.mark.parametrize("check", CHECKS)
def test_contract_with_named_modules(contract: MethodContract, tmp_path: Path, check: str) -> None:
    getattr(contract, check)(tmp_path)


def test_parts_sit_where_they_are_named(contract: MethodContract) -> None:
    found = {(part.site, part.layer) for part in parts_of(contract.model)}
    assert found == {("attn.q", 0), ("ffn.out", 1)}


@pytest.mark.parametrize("flat", ["layer.0.attention.self.value", "layer.1.attention.self.key"])
def test_the_module_with_the_flattest_states_is_chosen_first(bert: Backbone, flat: str) -> None:
    """A projection onto one line puts out states of one dimension."""
    name = f"bert.encoder.{flat}"
    model = share(bert.model, lambda parameter: parameter.startswith(name))
    weight = model.get_submodule(name).weight
    with torch.no_grad():
        weight.copy_(torch.outer(torch.ones(len(weight)), weight[0]))
    (module,) = [m for m in bert.shape.modules if m.name == name]
    bits = "10" if module.layer == 0 else "01"
    batch = [make_toy(bert.tokenizer, size=64).inputs]
    changed = replace(bert, model=model)
    assert chosen_modules(changed, batch, count=1) == f"{module.site}:{bits}"


def test_those_of_the_smallest_dimensions_are_chosen(bert: Backbone) -> None:
    batch = [make_toy(bert.tokenizer, size=64).inputs]
    modules = {m.name: (m.site, m.layer) for m in bert.shape.modules if m.site in SQUARE}
    ranked = [modules[name] for name in intrinsic_dimensions(bert.model, batch, list(modules))]
    chosen = chosen_modules(bert, batch, count=3, sites=SQUARE)
    candidate = Candidate(
        method="kadaptation", learning_rate=1e-2, epochs=1, knobs={"modules": chosen}
    )
    found = {(part.site, part.layer) for part in parts_of(adapt(bert, candidate, seed=0))}
    assert found == set(ranked[:3])


def test_count_follows_what_is_named(bert: Backbone) -> None:
    shared = 2 * 32 * 16  # q and ffn.out: side gcd(32, 48) = 16
    assert count(bert.shape, NAMED) == shared + 32 * (32 + 32) // 16 + 32 * (48 + 32) // 16


def test_a_fused_projection_is_one_module(tiny_folder: Callable[[str], Path]) -> None:
    shape = load_backbone(tiny_folder("gpt2"), **head_for("gpt2")).shape
    assert count(shape, "attn.q:10 attn.v:10") == count(shape, "attn.qkv:10")


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ("attn.q:1", "attn.q:1"),
        ("attn.q:00", "attn.q:00"),
        ("norm:11", "has no modules 'norm:11'"),
        ("attn.qkv:11", "has no modules 'attn.qkv:11'"),
        ("q", "'q'"),
    ],
)
def test_what_is_not_there_is_said(bert: Backbone, modules: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        count(bert.shape, modules)
