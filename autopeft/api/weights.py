"""Trained weights in the run folder: whether they are whole, and which may go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np

from autopeft.api.record import artifact_folder
from autopeft.store import TrialStore

_CONFIGS = ("adapter_config.json", "config.json")


def whole(folder: Path) -> bool:
    """Return whether a folder holds complete weights and their outputs on the selection split."""
    from safetensors import SafetensorError, safe_open

    try:
        np.load(folder / "selection.npy", allow_pickle=False)
        for config in _CONFIGS:
            if (folder / config).is_file():
                json.loads((folder / config).read_text(encoding="utf-8"))
        weights = list(folder.glob("*.safetensors"))
        for file in weights:
            with safe_open(file, framework="numpy"):
                pass
    except (OSError, ValueError, EOFError, SafetensorError):
        return False
    return bool(weights) and any((folder / config).is_file() for config in _CONFIGS)


def remove_leftovers(run: Path, trials: TrialStore, kept: Collection[int]) -> None:
    """Delete all weights but those of the trials `kept` and of their replicates.

    What a killed worker left half written goes too. Nothing may be training.
    """
    names = set()
    for record in trials.records():
        if record.number in kept:
            runs = (record, *trials.replicates(record.number))
            names |= {artifact_folder(run.number, run.seed).name for run in runs if run.artifact}
    for folder in (run / "trials").glob("*"):
        if folder.name not in names:
            shutil.rmtree(folder, ignore_errors=True)
