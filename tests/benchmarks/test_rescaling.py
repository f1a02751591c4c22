"""The benchmark of TARP's way back measures the same step twice, in packs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.speed import rescaling


def test_both_ways_take_turns_in_each_pack(tmp_path: Path) -> None:
    options = ["--repeats", "2", "--layers", "1", "--width", "8", "--tokens", "2"]
    result = rescaling.main([*options, "--result", str(tmp_path / "rescaling.json")])
    (kept,) = json.loads((tmp_path / "rescaling.json").read_text(encoding="utf-8"))
    assert kept["found"] == json.loads(json.dumps(result["found"]))
    assert [one["pack"] for one in result["found"]] == [1, 3]
    for one in result["found"]:
        assert one["seconds"].keys() == {"plain", "own"}
        assert one["times_faster"]["low"] > 0
