"""Deltas written into the weights of the backbone, taken out again, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from autopeft.deltas import Part
from autopeft.records import Placement
from tests.tuner.common import (
    CLOSE,
    adapted,
    apart,
    config,
    gated,
    inputs,
    layers,
    logits,
    parts,
    randomised,
    tiny,
)

SITES = {
    "bert": ("attn.q", "attn.k", "attn.v", "attn.out", "ffn.in", "ffn.out"),
    "gpt2": ("attn.qkv", "attn.out", "ffn.in", "ffn.out"),
}
LINEAR = ("lora", "ia3", "bitfit", "ln_tuning")
quick = pytest.mark.parametrize("architecture", ["bert", "gpt2"])


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of the frozen weights."""
    return {n: p.clone() for n, p in model.named_parameters() if ".autopeft_" not in n}


def assert_unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())


def linear_parts(model: nn.Module, method: str, architecture: str) -> list[Part]:
    place = Placement(sites=SITES[architecture]) if method == "lora" else None
    return parts(model, method, placement=place)


@quick
@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize("safe", [False, True])
def test_merged_gives_equal_logits_and_unmerged_is_as_before(
    tiny_folder: Callable[[str], Path], architecture: str, method: str, safe: bool
) -> None:
    model = tiny(tiny_folder(architecture))
    tuned = adapted(model, linear_parts(model, method, architecture))
    before, expected = weights(tuned), logits(tuned)
    tuned.merge_adapter(safe_merge=safe)
    assert all(layer.merged for layer in layers(tuned).values())
    assert apart(logits(tuned), expected) <= CLOSE
    assert any(not torch.equal(value, before[name]) for name, value in weights(tuned).items())
    tuned.unmerge_adapter()
    assert_unchanged(tuned, before)
    assert torch.equal(logits(tuned), expected)


@quick
@pytest.mark.parametrize("method", LINEAR)
def test_merged_and_unloaded_is_a_plain_model(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    base, model = (tiny(tiny_folder(architecture)) for _ in range(2))
    tuned = adapted(model, linear_parts(model, method, architecture))
    expected = logits(tuned)
    plain = tuned.merge_and_unload()
    assert type(plain) is type(base)
    assert not layers(plain)
    assert plain.state_dict().keys() == base.state_dict().keys()
    assert apart(logits(plain), expected) <= CLOSE
    assert apart(logits(plain), logits(base)) > 1e-3


@quick
@pytest.mark.parametrize("turned", [False, True])
def test_changes_of_input_and_output_at_one_module(
    tiny_folder: Callable[[str], Path], architecture: str, turned: bool
) -> None:
    """The input changes before the module runs, wherever in the recipe that part stands."""
    model = tiny(tiny_folder(architecture))
    place = Placement(sites=("ffn.out",))
    both = parts(model, "ia3", placement=place) + parts(model, "lora", placement=place)
    tuned = adapted(model, both[::-1] if turned else both)
    expected = logits(tuned)
    tuned.merge_adapter()
    assert apart(logits(tuned), expected) <= CLOSE


def test_changes_of_one_output_in_turn(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    place = Placement(sites=("attn.k",))
    both = parts(model, "lora", placement=place) + parts(model, "ia3", placement=place)
    first, second = adapted(tiny(tiny_folder("bert")), both), adapted(model, both[::-1])
    for tuned in (first, second):
        expected = logits(tuned)
        assert apart(logits(tuned.merge_and_unload()), expected) <= CLOSE


REFUSED = {
    "gated": "low_rank at .* cannot be merged: its gate depends on the example",
    "houlsby": r"bottleneck at .* cannot be merged: it is no linear map of the module's input",
    "prefix": r"prefix at .* cannot be merged: it is no linear map of the module's input",
    "unipelt": "cannot be merged",
    "elsewhere": "low_rank at .* cannot be merged: it reads bert.* and changes the output",
    "itself": "low_rank at .* cannot be merged: it reads the output and changes the output",
}


def refused(model: nn.Module, kind: str) -> list[Part]:
    """Return parts that cannot be merged; those before the last could be."""
    lora = parts(model, "lora")
    if kind == "gated":
        return [*lora[:-1], *gated(lora[-1:])]
    if kind == "elsewhere":
        return [*lora[:-1], replace(lora[-1], reads=lora[0].module)]
    if kind == "itself":
        return [*lora[:-1], replace(lora[-1], reads="output")]
    return parts(model, "ln_tuning") + parts(model, kind)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("how", ["merge_adapter", "merge_and_unload"])
def test_refusal_names_the_reason_and_changes_nothing(
    tiny_folder: Callable[[str], Path], kind: str, how: str
) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, refused(model, kind))
    before, expected = weights(tuned), logits(tuned)
    with pytest.raises(ValueError, match=REFUSED[kind]):
        getattr(tuned, how)()
    assert_unchanged(tuned, before)
    assert torch.equal(logits(tuned), expected)


def test_offset_without_a_bias_to_hold_it_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("llama"))
    offsets = [replace(part, delta="bias", settings={}) for part in parts(model, "lora")]
    tuned = adapted(model, offsets)
    with pytest.raises(ValueError, match=r"bias at .*q_proj cannot be merged: .* has no bias"):
        tuned.merge_adapter()


def test_values_that_are_not_finite_are_refused_if_asked(
    tiny_folder: Callable[[str], Path],
) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, "lora")[:1])
    (layer,) = layers(tuned).values()
    nn.init.constant_(layer.deltas().actors[0].delta.b, torch.inf)
    before = weights(tuned)
    with pytest.raises(ValueError, match="gives values not finite"):
        tuned.merge_adapter(safe_merge=True)
    assert_unchanged(tuned, before)


def test_one_of_two_adapters_is_merged_by_name(tiny_folder: Callable[[str], Path]) -> None:
    """Whether it can be is asked of the adapter named, not of the active one."""
    model = tiny(tiny_folder("bert"))
    other = config(parts(model, "houlsby"), model)
    tuned = adapted(model, parts(model, "lora"))
    expected = logits(tuned)
    tuned.add_adapter("other", other)
    randomised(tuned, 2, "other").set_adapter("other")
    with pytest.raises(ValueError, match="bottleneck"):
        tuned.merge_and_unload()
    tuned.set_adapter("default")
    with pytest.raises(ValueError, match="bottleneck"):
        tuned.merge_and_unload(adapter_names=["other"])
    tuned.set_adapter("other")
    assert apart(logits(tuned.merge_and_unload(adapter_names=["default"])), expected) <= CLOSE


def test_two_at_once_are_refused(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    other = config(parts(model, "ia3"), model)
    tuned = adapted(model, parts(model, "lora"))
    tuned.add_adapter("other", other)
    before = weights(tuned)
    with pytest.raises(ValueError, match="one adapter at a time, not default, other"):
        tuned.merge_adapter(adapter_names=["default", "other"])
    assert_unchanged(tuned, before)
    tuned.merge_adapter(adapter_names=["default"])
    with pytest.raises(ValueError, match="default is merged already"):
        tuned.merge_adapter(adapter_names=["other"])
    tuned.unmerge_adapter()
    assert_unchanged(tuned, before)


@pytest.mark.parametrize("architecture", ["roberta", "deberta-v2", "t5"])
@pytest.mark.parametrize("how", ["merge_and_unload", "unload"])
def test_a_head_of_several_layers_stays(
    tiny_folder: Callable[[str], Path], architecture: str, how: str
) -> None:
    """It has no weight of its own, which peft looks for."""
    base, model = (tiny(tiny_folder(architecture)) for _ in range(2))
    tuned = adapted(model, parts(model, "kadaptation"))
    expected = logits(tuned, ended()) if how == "merge_and_unload" else logits(base, ended())
    plain = getattr(tuned, how)()
    assert {n: type(m) for n, m in plain.named_modules()} == {
        n: type(m) for n, m in base.named_modules()
    }
    assert plain.state_dict().keys() == base.state_dict().keys()
    assert apart(logits(plain, ended()), expected) <= 1e-4


def ended() -> dict[str, torch.Tensor]:
    """Return a batch whose texts end with the token at which T5's head reads."""
    batch = inputs()
    last = batch["attention_mask"].sum(1) - 1
    batch["input_ids"][torch.arange(len(last)), last] = 3
    return batch
