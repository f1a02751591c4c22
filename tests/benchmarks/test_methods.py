"""The comparison of methods trains every cell once, and shows only what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.methods import compare


def run(reviews: Path, model: str, cells: Path) -> list[dict[str, object]]:
    options = ["--assets", str(reviews.parent), "--tasks", reviews.name, "--methods", "ia3"]
    options += ["--model", model, "--backbone", "tiny", "--epochs", "1"]
    options += ["--examples", "40", "--selection", "20", "--cells", str(cells)]
    return compare.main(options)


def test_the_best_rate_by_selection_is_tried_under_every_seed(
    reviews: Path, model: str, tmp_path: Path
) -> None:
    rows = run(reviews, model, tmp_path / "cells")
    file = tmp_path / "cells" / "tiny" / f"{reviews.name}.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    scores = {
        line["candidate"]["learning_rate"]: line["selection"]["accuracy"]
        for line in lines
        if line["seed"] == 0 and line["state"] == "complete"
    }
    assert len([line for line in lines if line["seed"] == 0]) == 3
    (row,) = rows
    assert scores[row["rate"]] == max(scores.values())
    further = [line for line in lines if line["seed"] != 0]
    assert {line["candidate"]["learning_rate"] for line in further} == {row["rate"]}
    assert {line["seed"] for line in further} == {1, 2}
    before = file.read_bytes()
    assert run(reviews, model, tmp_path / "cells") == rows
    assert file.read_bytes() == before, "nothing is trained twice"
