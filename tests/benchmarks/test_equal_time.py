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
    file = tmp_path / "found.json"
    options += ["--result", str(file)]
    found = equal_time.main(options)
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept == found
    assert {row["search"] for row in kept} == {equal_time.OURS, *equal_time.PEERS}
    for row in kept:
        assert 0 <= row["test"] <= 1
        assert 0 < row["selection"] <= 1
        assert row["trials"] >= 1
    peers = [row for row in kept if row["search"] in equal_time.PEERS]
    assert all(row["trainable_params"] > 0 for row in peers)
    assert str(tmp_path) not in json.dumps(kept), "no paths of this machine"
    assert len(equal_time.summary(kept)) == 3

    file.write_text(json.dumps(kept[1:]), encoding="utf-8")
    again = equal_time.main(options)
    assert again[1:] == kept[1:], "they are there"
    assert [row["search"] for row in json.loads(file.read_text(encoding="utf-8"))] == [
        *equal_time.PEERS,
        equal_time.OURS,
    ]
