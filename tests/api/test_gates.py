"""autopeft gates: one gated training, and what its gates say."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft import load
from autopeft.api.gates import gates
from autopeft.errors import ConfigError, IncompatibleMethodError
from autopeft.methods import METHODS
from tests.command import Command
from tests.tiny import WORDS

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    draw = random.Random(0)
    lines = ["text,label"]
    for row in range(80):
        words = [*draw.choices(WORDS[2:], k=draw.randrange(2, 6)), WORDS[row % 2]]
        lines.append(f"{' '.join(words)},{('fine', 'poor')[row % 2]}")
    file = tmp_path / "reviews.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_gates_of_every_layer_are_told_and_drawn(
    reviews: Path,
    tiny_folder: Callable[[str], Path],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture, scratch = tmp_path / "gates.svg", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    done = command(
        "gates", reviews, "--model", tiny_folder("bert"), "--epochs", "2", "--format", "json",
        "--output", picture,
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert {(row["layer"], row["part"]) for row in rows} == {
        (layer, part) for layer in (0, 1) for part in ("serial", "prefix", "lora_q", "lora_v")
    }
    assert all(0 < row["mean"] < 1 and row["on"] == (row["mean"] >= 0.5) for row in rows)
    assert "layer 1" in picture.read_text(encoding="utf-8")
    assert not list(scratch.glob("autopeft-gates-*"))


def test_the_hardened_mixture_is_smaller_and_ready_to_train(
    reviews: Path, tiny_folder: Callable[[str], Path]
) -> None:
    """On a backbone whose attention takes no prefix, the other parts are gated."""
    found = gates(str(reviews), model=str(tiny_folder("deberta-v2")), epochs=1)
    assert found.candidate.knobs["prefix"] == 0
    assert {gate["part"] for gate in found.gates} == {"serial", "lora_q", "lora_v"}
    assert 0 <= found.score <= 1 and found.metric == "accuracy"
    assert found.hardened.method == "mixture" and found.hardened.knobs["gates"] == "none"
    assert 0 < found.hardened_params < found.trainable_params
    assert set(found.hardened.knobs) == set(METHODS.get("mixture").knobs)


def test_the_hardened_mixture_is_trained_and_delivered(
    reviews: Path, tiny_folder: Callable[[str], Path], command: Command, tmp_path: Path
) -> None:
    """Of low-rank updates alone, so that plain peft loads it."""
    target = tmp_path / "kept" / "hardened"
    asked = ("gates", reviews, "--model", tiny_folder("bert"), "--parts", "lora", "--epochs", "4")
    done = command(*asked, "--harden", target)
    assert done.code == 0, done.err
    assert f"delivered in {target}: accuracy 0." in done.out.replace("accuracy 1.", "accuracy 0.")
    tuned = load(target)
    assert set(tuned.predict(["good", "bad"])) <= {"fine", "poor"}
    assert json.loads((target / "adapter_config.json").read_text())["peft_type"] == "LORA"
    card = (target / "README.md").read_text(encoding="utf-8")
    assert "import autopeft" not in card and "rounded to on or off" in card
    again = command(*asked, "--harden", target)
    assert again.code == 2 and "is there already" in again.err


def test_what_cannot_be_gated_is_refused(
    reviews: Path, tiny_folder: Callable[[str], Path], command: Command
) -> None:
    model = str(tiny_folder("deberta-v2"))
    with pytest.raises(ConfigError, match="no part 'serail'; did you mean 'serial'"):
        gates(str(reviews), model=model, parts=("serail",))
    with pytest.raises(ConfigError, match="--epochs 0"):
        gates(str(reviews), model=model, epochs=0)
    with pytest.raises(IncompatibleMethodError, match="computes its attention itself"):
        gates(str(reviews), model=model, parts=("prefix",))
    done = command("gates", reviews, "--model", model, "--output", "gates.png")
    assert done.code == 2 and "FILE.svg" in done.err
