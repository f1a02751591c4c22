"""The peer with an interface as simple as ours: AutoGluon MultiModal, in its own environment."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from autopeft.records import Candidate
from autopeft.train.session import Setting
from benchmarks.speed.contender import Contender, Outcome
from benchmarks.speed.material import write_lines

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
            files = {s: Path(folder) / f"{s}.jsonl" for s in ("train", "selection")}
            rows = {split: write_lines(setting, split, file) for split, file in files.items()}
            order = {
                **{split: str(file) for split, file in files.items()},
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
            examples=rows["train"] * candidate.epochs,
            trained_params=found["trained"],
            train_seconds=found["seconds"],
            evaluation_seconds=0.0,
            whole_seconds=found["seconds"],
        )

    return train
