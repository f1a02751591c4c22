"""What was trained here, loaded by peft in a process that knows nothing of it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from autopeft.backbone.load import Backbone
from autopeft.methods.artifact import save_artifact
from autopeft.testing.method_suite import CLOSE, MethodContract

LOADER = """
import copy, json, sys
import torch, transformers
from peft import PeftModel
from safetensors.torch import load_file
native, ours = json.loads(sys.argv[1])
def load(backbones):
    for (base, name, options), folders in backbones:
        base = getattr(transformers, name).from_pretrained(base, **options)
        for folder in folders:
            model = copy.deepcopy(base)
            model = PeftModel.from_pretrained(model, folder, adapter_name="other").eval()
            tensors = load_file(folder + "/expected/logits.safetensors")
            expected = tensors.pop("logits")
            with torch.no_grad():
                print(folder, (model(**tensors).logits - expected).abs().max().item())
load(native)
assert not any(module.startswith("autopeft") for module in sys.modules)
if ours:
    import autopeft
load(ours)
"""
"""Loads adapters as their users do: native ones before anything of this package is imported."""


def check_peft_loads(contracts: Iterable[MethodContract], folder: Path) -> None:
    """In one fresh process, peft gives equal logits: for methods of ours after `import autopeft`.

    Args:
        contracts: of any backbones; those of methods that are no adapters are left out.
        folder: an empty folder.

    Raises:
        AssertionError: an adapter cannot be loaded, or gives other logits.
    """
    saved = {
        str(_save(contract, folder)): contract
        for contract in contracts
        if contract.info.native or contract.info.config is not None
    }
    native = {place: contract for place, contract in saved.items() if contract.info.native}
    ours = {place: contract for place, contract in saved.items() if place not in native}
    call = json.dumps([_by_backbone(native), _by_backbone(ours)])
    done = subprocess.run(
        [sys.executable, "-c", LOADER, call],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    apart = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert apart.keys() == saved.keys(), done.stdout
    far = {saved[place].info.name: by for place, by in apart.items() if float(by) > CLOSE}
    assert not far, f"a fresh process gives other logits: {far}"


def _save(contract: MethodContract, folder: Path) -> Path:
    """Save an adapter with a few inputs and its logits on them, and return where."""
    place = folder / contract.backbone.shape.architecture / contract.info.name
    save_artifact(contract.model, place, contract.candidate)
    (place / "expected").mkdir()
    tensors = {**contract.toy.inputs, "logits": contract.logits()}
    save_file(tensors, place / "expected" / "logits.safetensors")
    return place


def _by_backbone(saved: dict[str, MethodContract]) -> list[Any]:
    """Return how to load each backbone, with the folders of its adapters."""
    names = {place: contract.backbone.name for place, contract in saved.items()}
    found = itertools.groupby(sorted(saved, key=names.__getitem__), key=names.__getitem__)
    groups = [list(places) for _, places in found]
    return [[_loading(saved[places[0]].backbone), places] for places in groups]


def _loading(backbone: Backbone) -> tuple[str, str, dict[str, Any]]:
    options: dict[str, Any] = {"num_labels": 2}
    if backbone.shape.vocabulary:
        options["pad_token_id"] = backbone.tokenizer.pad_token_id
    return str(backbone.name), backbone.auto_class, options
