"""Trains packs of candidates in a session on another device, in a process of its own.

Called with a file: what opens the session, the packs as lists of candidates, and a folder for what
is trained. What came of each is written there, as `Session.pack` says it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightning as pl
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy

from autopeft.train import fit, member, session
from tests.other_device import DEVICE, OtherDevice
from tests.train.packs import train_packs


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


def main(file: Path) -> None:
    order = json.loads(file.read_text())
    generator = torch.Generator
    with pytest.MonkeyPatch.context() as patch, OtherDevice():
        patch.setattr(fit.pl, "Trainer", _Trainer)
        patch.setattr(session, "training_device", lambda: DEVICE)
        patch.setattr(member.torch, "Generator", lambda *_, **__: generator())
        train_packs(**order)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
