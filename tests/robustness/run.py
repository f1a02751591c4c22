"""Searches of seconds: a tiny model, a small table, a small space."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.records import TrialRecord
from autopeft.store import RunFolder
from tests.train.toy import texts

SPACE = """
description: small
epochs: 5
methods:
  ia3:
  lora:
    r: [1, 2, 4]
    alpha: 16
    dropout: 0.0
    rslora: false
  bitfit:
"""


def write_data(folder: Path, *, rows: int = 120) -> Path:
    """Write a table of texts that contain one of two words."""
    path = folder / "reviews.csv"
    words, labels = texts(rows, seed=4)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((word, ("bad", "good")[y]) for word, y in zip(words, labels, strict=True))
    return path


def write_space(folder: Path, text: str = SPACE) -> Path:
    """Write the search space."""
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def command(settings: Mapping[str, Any]) -> list[str]:
    """Return the command line of a search; ``data`` is among the settings."""
    flags = [
        part
        for name, value in settings.items()
        if name != "data"
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return [
        sys.executable,
        "-m",
        "tests.robustness.launch",
        "search",
        str(settings["data"]),
        *flags,
    ]


def begin(settings: Mapping[str, Any], **environment: str) -> subprocess.Popen[str]:
    """Start a search as a process."""
    return subprocess.Popen(
        command(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def records_in(folder: Path) -> list[TrialRecord]:
    """Return the records of a run."""
    with RunFolder.read(folder) as run:
        return run.trials(higher_is_better=True).records()


def states_in(folder: Path) -> list[str]:
    """Return Optuna's state of every trial, discarded and lost ones included."""
    with RunFolder.read(folder) as run:
        return [trial.state.name for trial in run.trials(higher_is_better=True).all()]


def wait_for(folder: Path, finished: int, *, seconds: float = 60.0) -> None:
    """Wait until so many trials of a run have records."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (folder / "plan.json").is_file():
            done = [r for r in records_in(folder) if r.state.value != "running"]
            if len(done) >= finished:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{folder} has not {finished} finished trials after {seconds} s")


def outline(records: list[TrialRecord]) -> list[tuple[str, str, str, float | None]]:
    """Return what must be equal in two runs of the same search, whatever was lost on the way."""
    return sorted((r.origin, r.candidate.describe(), r.state.value, r.score) for r in records)
