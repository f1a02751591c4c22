"""The comparison of methods trains every cell once, and tests only what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.methods import compare
from benchmarks.methods.cells import Cell, Cells


def run(reviews: Path, model: str, file: Path) -> list[dict[str, object]]:
    options = ["--assets", str(reviews.parent), "--tasks", reviews.name, "--methods", "ia3"]
    options += ["--model", model, "--epochs", "1", "--examples", "40", "--others", "20"]
    return compare.main([*options, "--result", str(file)])


def test_a_cell_is_kept_by_what_it_is(tmp_path: Path) -> None:
    cell = Cell(task="subj", method="lora", rate=0.002, seed=1)
    Cells(tmp_path / "cells.jsonl").add(cell, {"selection": 0.5})
    Cells(tmp_path / "cells.jsonl").add(cell, {"selection": 0.5, "test": 0.4})
    assert Cells(tmp_path / "cells.jsonl").get(cell) == {"selection": 0.5, "test": 0.4}


def test_the_best_rate_by_selection_is_tested_under_every_seed(
    reviews: Path, model: str, tmp_path: Path
) -> None:
    file = tmp_path / "cells.jsonl"
    rows = run(reviews, model, file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    first = {line["rate"]: line for line in lines if line["seed"] == 0 and "test" not in line}
    assert len(first) == 3
    scored = {rate: line["selection"] for rate, line in first.items() if "selection" in line}
    tested = [line for line in lines if "test" in line]
    best = max(scored, key=lambda rate: scored[rate])
    assert {line["rate"] for line in tested} == {best}
    assert rows[0]["seeds"] == len(tested)
    before = file.read_bytes()
    assert run(reviews, model, file) == rows
    assert file.read_bytes() == before, "nothing is trained twice"
