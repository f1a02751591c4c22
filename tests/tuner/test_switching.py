"""Adapters switched off, on, between, and taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.tuner.attention import ATTENTION
from tests.tuner.common import (
    CLOSE,
    adapted,
    apart,
    config,
    inputs,
    layers,
    loaded_from,
    logits,
    parts,
    randomised,
    tiny,
    wrapped,
)

METHODS = ("lora", "ia3", "bitfit", "ln_tuning", "prefix", "houlsby", "parallel_adapter", "unipelt")
quick = pytest.mark.parametrize("architecture", ["bert", "gpt2"])


@quick
@pytest.mark.parametrize("method", METHODS)
def test_disabled_gives_the_backbones_logits(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    base, model = (tiny(tiny_folder(architecture)) for _ in range(2))
    tuned = adapted(model, parts(model, method))
    own = logits(tuned)
    with tuned.disable_adapter():
        assert apart(logits(tuned), logits(base)) <= CLOSE
    assert torch.equal(logits(tuned), own)
    assert apart(own, logits(base)) > 1e-3


@quick
@pytest.mark.parametrize("method", METHODS)
def test_unloaded_is_the_backbone_again(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    base, model = (tiny(tiny_folder(architecture)) for _ in range(2))
    tuned = adapted(model, parts(model, method))
    used = {"bert": "sdpa", "gpt2": "sdpa"}[architecture]
    assert (tuned.config._attn_implementation == ATTENTION) == (method in ("prefix", "unipelt"))
    logits(tuned)
    plain = tuned.unload()
    assert plain is model
    assert plain.config._attn_implementation == base.config._attn_implementation == used
    names = {name: type(module) for name, module in base.named_modules()}
    assert {name: type(module) for name, module in plain.named_modules()} == names
    marked = [m for m in plain.modules() if any("autopeft" in name for name in vars(m))]
    assert not marked
    assert torch.equal(logits(plain), logits(base))


@quick
@pytest.mark.parametrize("first", ["prefix", "lora"])
@pytest.mark.parametrize("second", ["unipelt", "compacter", "ia3"])
def test_two_adapters_take_turns(
    tiny_folder: Callable[[str], Path], architecture: str, first: str, second: str
) -> None:
    """Each gives what it gives alone, whichever was there first, and only the active one trains."""
    folder = tiny_folder(architecture)
    alone = [
        logits(adapted(tiny(folder), parts(tiny(folder), name), seed=seed))
        for seed, name in enumerate((first, second))
    ]
    model = tiny(folder)
    added = config(parts(model, second), model)
    tuned = adapted(model, parts(model, first), seed=0)
    tuned.add_adapter("other", added)
    randomised(tuned, 1, "other")
    for _ in range(2):
        for name, expected in zip(("default", "other"), alone, strict=True):
            tuned.set_adapter(name)
            assert apart(logits(tuned), expected) <= CLOSE
            trained = [n for n, p in tuned.named_parameters() if p.requires_grad]
            assert trained and all(f".{name}." in n for n in trained)


@pytest.mark.parametrize("gone", ["default", "other"])
def test_deleted_adapter_leaves_the_other(tiny_folder: Callable[[str], Path], gone: str) -> None:
    model = tiny(tiny_folder("bert"))
    added = config(parts(model, "unipelt"), model)
    tuned = adapted(model, parts(model, "houlsby"))
    tuned.add_adapter("other", added)
    kept = "other" if gone == "default" else "default"
    randomised(tuned, 2, "other").set_adapter(kept)
    expected = logits(tuned)
    tuned.delete_adapter(gone)
    assert list(tuned.peft_config) == [kept]
    assert not [name for name, _ in tuned.named_parameters() if f".{gone}." in name]
    assert torch.equal(logits(tuned), expected)


def test_two_adapters_at_once_are_refused(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    plain = config(parts(model, "lora"), model)
    plain.modules_to_save = plain.task_type = None
    tuned = wrapped(model, copy.deepcopy(plain))
    tuned.add_adapter("other", plain)
    tuned.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match="one adapter at a time, not default, other"):
        logits(tuned)


@pytest.mark.parametrize("method", METHODS)
def test_loads_beside_another_adapter(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    folder = tiny_folder("bert")
    tuned = adapted(tiny(folder), parts(tiny(folder), method))
    tuned.save_pretrained(tmp_path, save_embedding_layers=False)
    model = tiny(folder)
    two = adapted(model, parts(model, "mam"), seed=4)
    two.load_adapter(tmp_path, adapter_name="second")
    two.set_adapter("second")
    assert apart(logits(two), logits(tuned)) <= CLOSE
    assert apart(logits(loaded_from(tmp_path, tiny(folder))), logits(tuned)) <= CLOSE


def test_inputs_are_let_go_of_after_a_pass(tiny_folder: Callable[[str], Path]) -> None:
    """What one layer kept for another would hold a whole batch's memory between steps."""
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, "parallel_adapter"))
    logits(tuned)
    assert not next(iter(layers(tuned).values()))._call.inputs


def test_the_first_adapter_left_takes_over(tiny_folder: Callable[[str], Path]) -> None:
    """Also where it has nothing at the layer that peft asks which are left."""
    folder = tiny_folder("bert")
    alone = logits(adapted(tiny(folder), parts(tiny(folder), "houlsby"), seed=2))
    model = tiny(folder)
    added = config(parts(model, "houlsby"), model)
    tuned = adapted(model, parts(model, "attempt"))
    tuned.add_adapter("other", added)
    randomised(tuned, 2, "other")
    with pytest.warns(UserWarning, match="was active which is now deleted"):
        tuned.delete_adapter("default")
    assert tuned.active_adapters == ["other"]
    assert apart(logits(tuned), alone) <= CLOSE
    assert all(".other." in n for n, p in tuned.named_parameters() if p.requires_grad)


def test_an_adapter_for_each_example_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    tuned = adapted(model, parts(model, "houlsby"))
    with pytest.raises(ValueError, match="leave out adapter_names and choose with set_adapter"):
        tuned(**inputs(), adapter_names=["default"] * 4)
