"""Weights that all layers share: one tensor, counted, saved, merged and loaded once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from autopeft.deltas.size import size
from autopeft.tuner import parts_of
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
)

SHARED = {
    "compacter": {"rules.factors": (4, 4, 4)},
    "kadaptation": {"slow.a": (32, 32), "slow.b": (32, 32)},
    "tams": {"choice.logits": (9, 6)},
}
METHODS = tuple(SHARED)
AFRESH = """
import json, sys
import torch, transformers
import autopeft
from peft import PeftModel
from safetensors.torch import load_file
base, *folders = json.loads(sys.argv[1])
for folder in folders:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=2, pad_token_id=0
    )
    model = PeftModel.from_pretrained(model, folder).eval()
    batch = load_file(folder + "/batch.safetensors")
    expected = batch.pop("logits")
    with torch.no_grad():
        print((model(**batch).logits - expected).abs().max().item())
"""


def with_method(folder: Path, method: str, seed: int = 1) -> PeftModel:
    model = tiny(folder)
    return adapted(model, parts(model, method), seed=seed)


@pytest.mark.parametrize("method", METHODS)
def test_the_state_holds_it_once(tiny_folder: Callable[[str], Path], method: str) -> None:
    state = get_peft_model_state_dict(with_method(tiny_folder("bert"), method))
    mark = "autopeft_shared.weights:"
    found = {name.partition(mark)[2]: v for name, v in state.items() if mark in name}
    assert {name: tuple(value.shape) for name, value in found.items()} == SHARED[method]


@pytest.mark.parametrize("method", METHODS)
def test_it_counts_once_and_trains(tiny_folder: Callable[[str], Path], method: str) -> None:
    model = with_method(tiny_folder("bert"), method)
    own = {n: p for n, p in model.named_parameters() if ".autopeft_" in n and p.requires_grad}
    assert sum(p.numel() for p in own.values()) == size(parts_of(model))
    model(**inputs()).logits.sum().backward()
    shared = [parameter for name, parameter in own.items() if "autopeft_shared" in name]
    assert len(shared) == len(SHARED[method])
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in shared)


def test_every_layer_uses_it(tiny_folder: Callable[[str], Path]) -> None:
    model = with_method(tiny_folder("bert"), "kadaptation")
    seen: dict[str, torch.Tensor] = {}
    for name, layer in layers(model).items():
        layer.register_forward_hook(lambda _m, _i, y, name=name: seen.__setitem__(name, y))
    logits(model)
    before = dict(seen)
    slow = next(p for n, p in model.named_parameters() if n.endswith("slow.a"))
    with torch.no_grad():
        slow.zero_()
    logits(model)
    assert len(before) == 4
    assert all(not torch.equal(before[name], seen[name]) for name in before)


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_gives_equal_logits(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    model = with_method(tiny_folder("bert"), method)
    model.save_pretrained(tmp_path)
    loaded = loaded_from(tmp_path, tiny(tiny_folder("bert")), adapter="default")
    assert apart(logits(loaded), logits(model)) <= CLOSE


@pytest.mark.parametrize("method", METHODS)
def test_each_of_two_adapters_has_its_own(tiny_folder: Callable[[str], Path], method: str) -> None:
    folder = tiny_folder("bert")
    one, two = (logits(with_method(folder, method, seed)) for seed in (1, 2))
    model = with_method(folder, method)
    plain = tiny(folder)
    model.add_adapter("other", config(parts(plain, method), plain))
    randomised(model, 2, "other")
    for name, expected in (("other", two), ("default", one), ("other", two)):
        model.set_adapter(name)
        assert apart(logits(model), expected) <= CLOSE
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert any("autopeft_shared" in n for n in trained)
        assert all(f".{name}." in n for n in trained)


def test_merging_folds_in_what_is_shared(tiny_folder: Callable[[str], Path]) -> None:
    model = with_method(tiny_folder("bert"), "kadaptation")
    with torch.no_grad():  # far from the start, and not so far that rounding shows
        for name, parameter in model.named_parameters():
            if name.endswith(".u"):
                parameter.mul_(0.01)
    before = logits(model)
    assert apart(before, logits(tiny(tiny_folder("bert")))) > 0.01
    assert apart(before, logits(model.merge_and_unload())) <= 1e-4


@pytest.mark.slow
def test_a_fresh_process_gives_equal_logits(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Shared weights, and the positions of sparse entries, are in the file."""
    folders = []
    for method in (*METHODS, "dsee"):
        model = with_method(tiny_folder("bert"), method)
        for name, positions in model.named_buffers():
            if name.endswith("positions"):  # not those that the frozen weight would give again
                positions.copy_(positions.flip(1) // 2)
        folders.append(str(tmp_path / method))
        model.save_pretrained(folders[-1])
        save_file({**inputs(), "logits": logits(model)}, tmp_path / method / "batch.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", AFRESH, json.dumps([str(tiny_folder("bert")), *folders])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert max(map(float, done.stdout.split())) <= CLOSE
    assert len(done.stdout.split()) == len(folders)


def test_a_second_adapter_brings_its_prefixes(tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("bert")
    plain = tiny(folder)
    alone = logits(adapted(tiny(folder), parts(plain, "prefix"), seed=2))
    model = with_method(folder, "compacter")
    model.add_adapter("other", config(parts(plain, "prefix"), plain))
    randomised(model, 2, "other")
    model.set_adapter("other")
    assert apart(logits(model), alone) <= CLOSE
