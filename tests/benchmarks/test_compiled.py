"""The benchmark of compiling measures the same step twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.speed import compiled

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning:torch")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
def test_both_steps_take_turns(model: str, tmp_path: Path) -> None:
    options = ["--model", model, "--repeats", "2", "--pack", "1", "--tokens", "4"]
    result = compiled.main([*options, "--result", str(tmp_path / "compiled.json")])
    (kept,) = json.loads((tmp_path / "compiled.json").read_text(encoding="utf-8"))
    assert kept["seconds"] == json.loads(json.dumps(result["seconds"]))
    assert result["first_seconds"].keys() == result["seconds"].keys() == {"as it is", "compiled"}
    assert result["times_faster"]["low"] > 0
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"
