"""The peer with an interface as simple as ours: AutoGluon MultiModal, in its own environment."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from datasets import load_from_disk

from autopeft.records import Candidate
from autopeft.train.session import Setting
from benchmarks.speed.contender import Contender, Outcome

SCRIPT = Path(__file__).with_name("autogluon_train.py")


def autogluon(python: str, setting: Setting, candidate: Candidate) -> Contender:
    """Return AutoGluon with its own LoRA; its loop evaluates and saves as it likes.

    What it spends on training alone cannot be told from outside, so all of its time counts as
    training.

    Args:
        python: of an environment where autogluon.multimodal is installed.
        setting: data and model.
        candidate: gives rate, epochs and batch size.
    """

    def train(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            files = {s: _written(setting, s, Path(folder)) for s in ("train", "selection")}
            order = {
                **{split: str(file) for split, (file, _) in files.items()},
                "model": setting.model,
                "epochs": candidate.epochs,
                "batch_size": candidate.batch_size,
                "rate": candidate.learning_rate,
                "seed": seed,
                "out": str(Path(folder) / "out"),
            }
            (Path(folder) / "order.json").write_text(json.dumps(order), encoding="utf-8")
            done = subprocess.run(
                [python, str(SCRIPT), str(Path(folder) / "order.json")],
                check=True,
                capture_output=True,
                text=True,
            )
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return Outcome(
            examples=files["train"][1] * candidate.epochs,
            trained_params=found["trained"],
            train_seconds=found["seconds"],
            evaluation_seconds=0.0,
            whole_seconds=found["seconds"],
        )

    return train


def _written(setting: Setting, split: str, folder: Path) -> tuple[Path, int]:
    """Write a split as JSON lines; return where, and how many rows it has."""
    rows = load_from_disk(str(Path(setting.data) / split))
    file = folder / f"{split}.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            label = setting.labels[row["label"]]
            out.write(json.dumps({"text": row["text"], "label": label}) + "\n")
    return file, len(rows)
