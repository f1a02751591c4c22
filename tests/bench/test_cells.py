"""Cells are kept line by line, once each, in a file that is about one task and one backbone."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autopeft.bench.cells import Cell, Cells, Searched
from autopeft.bench.skips import Skips
from autopeft.bench.suite import Block
from autopeft.errors import UsageError
from autopeft.records import Candidate, Placement

ABOUT = {"task": "subj", "backbone": "minilm-l6"}
LORA = Candidate(
    method="lora",
    learning_rate=0.002,
    epochs=5,
    knobs={"r": 8},
    placement=Placement(sites=("attn.q",)),
)


def test_a_line_is_found_again_by_candidate_and_seed(tmp_path: Path) -> None:
    file = tmp_path / "new" / "subj.jsonl"
    Cells(file, ABOUT).add(Cell(LORA, 1), {"test": {"accuracy": 0.5}})
    again = Cells(file, ABOUT)
    assert again.get(Cell(LORA, 1)) == {
        "seed": 1,
        "candidate": LORA.to_json(),
        "test": {"accuracy": 0.5},
    }
    assert again.get(Cell(LORA, 2)) is None
    assert [cell for cell, _ in again] == [Cell(LORA, 1)]


def test_the_last_line_of_a_cell_counts(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "subj.jsonl", ABOUT)
    for score in (0.1, 0.2):
        cells.add(Cell(LORA, 0), {"score": score})
    (found,) = [line["score"] for _, line in Cells(cells.file)]
    assert found == 0.2


@pytest.mark.parametrize("left", [-20, 1])
def test_a_line_that_a_kill_cut_is_trained_again(tmp_path: Path, left: int) -> None:
    """Be it in the middle of a letter."""
    cells = Cells(tmp_path / "subj.jsonl", ABOUT)
    for seed in (0, 1):
        cells.add(Cell(LORA, seed), {"score": "ä"})
    whole = cells.file.read_bytes()
    cells.file.write_bytes(whole[: whole.rindex("ä".encode()) + left])
    again = Cells(cells.file, ABOUT)
    assert again.get(Cell(LORA, 1)) is None
    again.add(Cell(LORA, 2), {"score": "ä"})
    assert [cell.seed for cell, _ in Cells(cells.file, ABOUT)] == [0, 2]


def test_a_file_about_something_else_is_refused(tmp_path: Path) -> None:
    Cells(tmp_path / "a.jsonl", ABOUT).add(Cell(LORA, 0), {})
    with pytest.raises(UsageError, match="other backbone"):
        Cells(tmp_path / "a.jsonl", {**ABOUT, "backbone": "mpnet-base"})


def test_several_may_add_to_one_file(tmp_path: Path) -> None:
    files = [Cells(tmp_path / "subj.jsonl", ABOUT) for _ in range(4)]

    def add(number: int) -> None:
        for seed in range(8):
            files[number].add(Cell(LORA, 10 * number + seed), {"score": seed})

    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(add, range(len(files))))
    assert len(list(Cells(tmp_path / "subj.jsonl", ABOUT))) == 32


def test_a_search_is_a_line_of_its_own_kind(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "subj.jsonl", ABOUT)
    cells.add(Cell(LORA, 0), {"score": 1})
    cells.add(Searched("search", "default", 0), {"score": 2})
    again = Cells(cells.file, ABOUT)
    line = again.get(Searched("search", "default", 0))
    assert line == {"seed": 0, "policy": {"name": "search", "space": "default"}, "score": 2}
    assert again.get(Searched("search", "quick", 0)) is None
    assert [cell.candidate for cell, _ in again] == [LORA], "trainings alone are iterated over"


def test_a_search_under_another_time_limit_is_another_cell(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "subj.jsonl", ABOUT)
    limited = Searched("search", "default", 0, 40.0)
    cells.add(limited, {"limit_seconds": 40.0})
    again = Cells(cells.file)
    assert again.get(limited) is not None
    assert [again.get(limited._replace(time_limit=other)) for other in (20.0, math.inf)] == [
        None
    ] * 2


def test_a_search_without_a_limit_stands_for_those_that_would_not_have_cut_it(
    tmp_path: Path,
) -> None:
    cells = Cells(tmp_path / "subj.jsonl", ABOUT)
    free = Searched("search", "default", 0)
    cells.add(free, {"limit_seconds": 40.0})
    found = [cells.get(free._replace(time_limit=limit)) for limit in (39.0, 40.0, 60.0)]
    assert found == [None, cells.get(free), cells.get(free)]


def test_a_reason_after_one_that_a_kill_cut_is_read(tmp_path: Path) -> None:
    block = Block(backbone="tiny", task="subj", examples=40, epochs=1)
    for row in ("lora", "ia3"):
        Skips(tmp_path).note(block, row, f"no {row}")
    file = tmp_path / "skipped.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    Skips(tmp_path).note(block, "vera", "no vera")
    found = Skips(tmp_path)
    assert [found.of_row(block, row) for row in ("lora", "ia3", "vera")] == [
        "no lora", None, "no vera",
    ]  # fmt: skip
