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
        "plan": {"dtype": dtype, "pack": 1 if dtype == "float32" else 8},
        "share_of_gemm_limit": {"alone": 0.3, "pack": 0.5},
        "summary": {"training": {"pack": row(pack), "trainer (a)": row(1.0)}},
    }


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "The peers on a GPU; long texts (BBC news); MPNet-base" in text
    assert "aimed at:" not in text


def test_the_last_run_of_each_circumstance_stands_beside_its_aims(tmp_path: Path) -> None:
    runs = (packs(4.0), packs(6.0), packs(1.7, dtype="float32"), packs(2.0, data="demo:bbc"))
    write(tmp_path, "packs", *runs)
    lines = [line for line in page(tmp_path).splitlines() if line.startswith("| pack |")]
    assert lines == [
        "| pack | 60 | **6.00** (aimed at: 5) | **6.00** (aimed at: 2.5) | 6.00 |",
        "| pack | 17.0 | 1.70 | 1.70 | **1.70** (aimed at: 1.5) |",
        "| pack | 20.0 | 2.00 | 2.00 | 2.00 |",
    ]
    assert "Long texts" not in page(tmp_path)
    together = " ".join(page(tmp_path).split())
    assert together.count("it would train up to 8 in one pass here") == 2
    assert together.count("it would train one at a time here") == 1
    assert "4 cores of Some CPU with AVX2, 2026-01-02, commit abc1234" in page(tmp_path)


def test_what_missed_its_aim_says_how_far_from_the_limit_the_aim_is(tmp_path: Path) -> None:
    write(tmp_path, "packs", packs(4.0), packs(1.0, dtype="float32", data="subj"))
    text = " ".join(page(tmp_path).split())
    assert "a pack does 50% and one candidate alone 30% (aimed at: 30%)." in text
    assert "A pack would have to do 62% to be 5 times as fast as trainer (a)." in text
    assert "75% to be 1.5 times as fast as strong fp32 (b')." in text
    assert "packs --examples 900 --data FOLDER`" in text


def test_a_peer_whose_training_is_not_told_apart_is_compared_by_the_whole(tmp_path: Path) -> None:
    run = packs(2.0, data="subj")
    for row in run["summary"]["training"].values():
        row["times_faster_than"]["autogluon (d)"] = {"median": 7.0}
    whole = {"pack": {"times_faster_than": {"autogluon (d)": {"median": 4.5}}}}
    write(tmp_path, "packs", run | {"summary": run["summary"] | {"whole": whole}})
    said = "From loaded data to saved adapters a pack is 4.50 times as fast as autogluon (d)."
    assert said in " ".join(page(tmp_path).split())


def test_a_race_that_was_lost_is_said(tmp_path: Path) -> None:
    subj = [race("subj", 0, None), race("subj", 0, 0.25), race("subj", 2, None)]
    sst = [race("sst", 0, 0.1), race("sst", 1, None), race("sst", 2, None)]
    write(tmp_path, "race", *subj, *sst, race("subj", 1, 0.2))
    text = page(tmp_path)
    first, second = text.index("searches on subj"), text.index("searches on sst")
    assert first < text.index("The median is 0.25.") < second
    assert second < text.index("More than half of the races missed it.")
    assert text.count("| seed 0 |") == 2, "the last race of a seed counts"
    assert "| seed 0 | 0.900 | 400 s | 7 | 0.910 | 150 s | 30 | 0.25 |" in text
    assert "| seed 2 | 0.900 | 400 s | 7 | 0.910 | never | 30 |  |" in text
    assert "on subj (" not in text
    assert "the race of searches on tweet_emotion (0 of 3 seeds)" in " ".join(text.split())


def test_races_of_other_backbones_stand_apart(tmp_path: Path) -> None:
    small, large = race("subj", 0, 0.25), race("subj", 0, None)
    large["settings"] |= {"model": "mpnet-base"}
    write(tmp_path, "race", small, large)
    text = page(tmp_path)
    assert text.index("on subj with MiniLM") < text.index("on subj with mpnet-base")
    assert "the race of searches on subj (1 of 3 seeds)" in " ".join(text.split())


def race(task: str, seed: int, share: float | None) -> dict[str, Any]:
    return {
        "settings": {"seconds": 600.0, "peer": {"bf16": True}},
        "task": task,
        "seed": seed,
        "peer": {"best": [[10.0, 0.5], [400.0, 0.9]], "trials": 7},
        "ours": {"best": [[20.0, 0.91]], "trials": 30},
        "seconds": None if share is None else 600 * share,
        "share": share,
    }


def test_accuracy_is_told_by_data_set_and_size_of_the_pass(tmp_path: Path) -> None:
    def run(pack: int, ahead: float) -> dict[str, Any]:
        apart = {"mean": ahead, "standard_error": 0.002}
        reached = {"mean": 0.8, "sd": 0.01}
        return {
            "benchmark": "accuracy",
            "settings": {"data": "subj", "pack": pack, "seeds": 5},
            "plan": {"dtype": "float32"},
            "summary": {
                "autopeft": {"test_accuracy": reached},
                "trainer": {"test_accuracy": reached, "ours_minus_theirs": apart},
            },
        }

    write(tmp_path, "single-candidate", run(1, 0.01), run(8, 0.02), run(8, -0.03))
    lines = [line for line in page(tmp_path).splitlines() if line.startswith("| subj |")]
    assert lines == [
        "| subj | 1 | float32 | 5 | 80.0 ± 1.0 % | 80.0 ± 1.0 % | +1.0 ± 0.2 |",
        "| subj | 8 | float32 | 5 | 80.0 ± 1.0 % | 80.0 ± 1.0 % | -3.0 ± 0.2 |",
    ]


def test_growth_is_told_with_what_grows(tmp_path: Path) -> None:
    points = [{"at": at, "ms_per_candidate_example": {"median": at / 2}} for at in (1, 32)]
    run = {
        "benchmark": "growth",
        "settings": {"data": "demo", "model": None, "examples": 160, "pack": 8},
        "plan": {"dtype": "float32", "attention": "eager"},
        "growth": {"pack": points, "length": points},
    }
    write(tmp_path, "packs", run)
    lines = page(tmp_path).splitlines()
    assert "| candidates in a pass, LoRA in all layers | 1 | 32 |" in lines
    assert "| tokens of every text, 8 LoRA in a pass | 1 | 32 |" in lines
    assert lines.count("| ms | 0.50 | 16.0 |") == 2
    assert "growth" not in lines[-1]
