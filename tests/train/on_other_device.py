"""Trains packs of candidates in a session on another device, in a process of its own.

Called with a file: what opens the session, the packs as lists of candidates, and a folder for what
is trained. Two of them are delivered, and must give there what they gave when they were trained.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as pl
import numpy as np
import pytest
import torch
from datasets import load_from_disk
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy

from autopeft.delivery import About, TunedModel, write
from autopeft.train import device, fit, member, session
from tests.other_device import DEVICE, OtherDevice
from tests.train.packs import train_packs

CLOSE = 1e-5


class _Accelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Take any."""


class _Trainer(pl.Trainer):
    """On the other device, of which Lightning does not know."""

    def __init__(self, **settings: Any) -> None:
        strategy = SingleDeviceStrategy(device=DEVICE, accelerator=_Accelerator())
        super().__init__(
            **{**settings, "accelerator": "auto", "devices": "auto"}, strategy=strategy
        )


def check_delivery(opening: Mapping[str, Any], trained: Path) -> None:
    """Deliver a trained method and compare its outputs on selection."""
    best = trained.with_name(f"{trained.name}-delivered")
    about = About(
        **{name: opening[name] for name in ("model", "task", "labels", "max_length")},
        text="text",
        text_pair=None,
        method=trained.name,
    )
    write(trained, best, about)
    tuned = TunedModel(best)
    assert {parameter.device for parameter in tuned.model.parameters()} == {DEVICE}
    outputs = tuned.outputs(load_from_disk(str(Path(opening["data"]) / "selection")))
    assert np.abs(outputs - np.load(trained / "selection.npy")).max() < CLOSE


def main(file: Path) -> None:
    order = json.loads(file.read_text())
    generator = torch.Generator
    with pytest.MonkeyPatch.context() as patch, OtherDevice():
        patch.setattr(fit.pl, "Trainer", _Trainer)
        for module in (device, session):
            patch.setattr(module, "default_device", lambda: DEVICE)
        patch.setattr(member.torch, "Generator", lambda *_, **__: generator())
        train_packs(**order)
        for method in ("lora", "unipelt"):
            check_delivery(order["opening"], Path(order["folder"]) / method)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
