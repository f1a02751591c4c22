"""The page of speed says what was measured, what was aimed at, and what nobody has measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs.pages.speed import speed

AT = {
    "date": "2026-01-02T03:04:05+00:00",
    "commit": "abc1234",
    "hardware": {"processor": "Some CPU", "instructions": "AVX2", "cores": 4, "gpu": None},
}


def page(folder: Path) -> str:
    return "\n".join(speed(folder))


def write(folder: Path, name: str, *runs: dict[str, Any]) -> None:
    (folder / f"speed-{name}.json").write_text(json.dumps([{**run, **AT} for run in runs]))


def packs(pack: float, *, dtype: str = "bfloat16", data: str = "demo") -> dict[str, Any]:
    """Return a run in which a pack is so many times as fast as every peer."""
    peers = ("trainer (a)", "strong (b)", "strong fp32 (b')")

    def row(times: float) -> dict[str, Any]:
        return {
            "candidate_examples_per_second": {"median": 10 * times},
            "times_faster_than": {peer: {"median": times} for peer in peers},
        }

    return {
        "benchmark": "packs",
        "settings": {"data": data, "model": None, "examples": 900, "pack": 8},
        "plan": {"dtype": dtype},
        "share_of_gemm_limit": {"alone": 0.3, "pack": 0.5},
        "summary": {"training": {"pack": row(pack), "trainer (a)": row(1.0)}},
    }


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "Anything on a GPU; long texts (BBC news); MPNet-base" in text
    assert "aimed at:" not in text


def test_the_last_run_of_each_circumstance_stands_beside_its_aims(tmp_path: Path) -> None:
    runs = (packs(4.0), packs(6.0), packs(1.7, dtype="float32"), packs(2.0, data="demo:bbc"))
    write(tmp_path, "packs", *runs)
    lines = [line for line in page(tmp_path).splitlines() if line.startswith("| pack |")]
    assert lines == [
        "| pack | 60 | **6.00** (aimed at: 5) | **6.00** (aimed at: 2.5) | 6.00 |",
        "| pack | 17 | 1.70 | 1.70 | **1.70** (aimed at: 1.5) |",
        "| pack | 20 | **2.00** (aimed at: 5) | **2.00** (aimed at: 2.5) | 2.00 |",
    ]
    assert "Long texts" not in page(tmp_path)
    assert "4 cores of Some CPU with AVX2, 2026-01-02, commit abc1234" in page(tmp_path)


def test_a_race_that_was_lost_is_said(tmp_path: Path) -> None:
    won, lost = ({"task": "subj", "share": share} for share in (0.25, None))
    write(tmp_path, "race", {"races": [won, won, lost]})
    assert "took 0.25 of it" in page(tmp_path)
    write(tmp_path, "race", {"races": [won, lost, lost]})
    assert "was not reached in that time" in page(tmp_path)
