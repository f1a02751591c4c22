"""Training on another device than the processor gives what the processor gives.

As there may be no GPU, it is a device that only differs in name, see `tests.other_device`: enough
to find whatever was left behind on the processor.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autopeft.backbone.load import load_backbone
from autopeft.methods import METHODS, feasible_methods
from autopeft.methods.adapt import with_defaults
from autopeft.methods.packing import pack_key
from autopeft.records import Candidate
from tests.command import ROOT
from tests.tiny import head_for
from tests.train.packs import train_packs
from tests.train.toy import order, save_splits


@pytest.mark.slow
def test_every_method_gives_what_it_gives_on_the_processor(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny_folder("bert")
    shape = load_backbone(model, **head_for("bert", labels=1)).shape
    packs: dict[Any, list[dict[str, Any]]] = {}
    for name in feasible_methods(shape, 32)[0]:
        made = Candidate(method=name, learning_rate=1e-2, epochs=1, batch_size=8)
        candidate = with_defaults(METHODS.get(name), made)
        packs.setdefault(pack_key(candidate, shape) or name, []).append(candidate.to_json())
    data = save_splits(tmp_path, rows=16, numbers=(3.0, 1.0))  # few rows: all one class at first
    opening = {"opening": order(data, model, numeric=True), "packs": list(packs.values())}
    train_packs(**opening, folder=str(tmp_path / "here"))
    file = tmp_path / "orders.json"
    file.write_text(json.dumps({**opening, "folder": str(tmp_path / "there")}))
    command = [sys.executable, "-m", "tests.train.on_other_device", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len(names) == sum(map(len, packs.values()))
    for name in names:
        here, there = (np.load(tmp_path / w / name / "selection.npy") for w in ("here", "there"))
        assert np.abs(here - there).max() < 1e-5, name
