"""Real searches in equal time: every search delivers something that was tested once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.search import equal_time

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of transformers' Trainer, the peers'
]


def test_all_search_the_same_rows(reviews: Path, model: str, tmp_path: Path) -> None:
    options = ["--assets", str(reviews.parent), "--tasks", reviews.name, "--model", model]
    options += ["--seeds", "1", "--seconds", "15", "--examples", "60", "--others", "24"]
    found = equal_time.main([*options, "--result", str(tmp_path / "found.json")])
    (kept,) = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert kept["rows"] == json.loads(json.dumps(found["rows"]))
    assert {row["search"] for row in kept["rows"]} == {"autopeft", *equal_time.PEERS}
    for row in kept["rows"]:
        assert 0 <= row["test"] <= 1
        assert 0 < row["selection"] <= 1
        assert row["trials"] >= 1
    peers = [row for row in kept["rows"] if row["search"] in equal_time.PEERS]
    assert all(row["trainable_params"] > 0 for row in peers)
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"
    assert len(equal_time.summary(kept["rows"])) == 3
