"""The benchmark of evaluation measures every size of batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed import evaluation


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["1", "2"])
def test_every_size_takes_turns(model: str, reviews: Path, tmp_path: Path, pack: str) -> None:
    options = [
        "--pack",
        pack,
        "--model",
        model,
        "--data",
        str(reviews),
        "--rows",
        "16",
        "--tokens",
        "32",
        "64",
    ]
    file = tmp_path / "evaluation.json"
    result = evaluation.main([*options, "--repeats", "1", "--result", str(file)])
    (kept,) = json.loads(file.read_text(encoding="utf-8"))
    assert kept["milliseconds"] == json.loads(json.dumps(result["milliseconds"]))
    assert list(kept["milliseconds"]) == ["32", "64"]
    assert all(one["low"] > 0 for one in kept["milliseconds"].values())
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"
