"""The benchmark of updates measures every way of taking a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed import updates


@pytest.mark.slow
def test_every_way_takes_turns(model: str, reviews: Path, tmp_path: Path) -> None:
    options = ["--model", model, "--data", str(reviews), "--examples", "64", "--sizes", "2"]
    result = updates.main([*options, "--repeats", "1", "--result", str(tmp_path / "updates.json")])
    (kept,) = json.loads((tmp_path / "updates.json").read_text(encoding="utf-8"))
    assert kept["milliseconds"] == json.loads(json.dumps(result["milliseconds"]))
    assert {work: list(ways) for work, ways in kept["milliseconds"].items()} == {
        "full fine-tuning": ["plain", "fused"],
        "2 LoRA, narrow": ["plain", "fused", "held"],
    }
    assert all(one["low"] > 0 for ways in kept["milliseconds"].values() for one in ways.values())
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"
