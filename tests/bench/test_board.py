"""A board is made of cells alone: what is there is ranked, what is missing is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from autopeft.bench.board import read_board
from autopeft.bench.cells import Cell, Cells, Searched
from autopeft.bench.chosen import seconds, tries
from autopeft.bench.pace import Pace
from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.skips import Skips
from autopeft.bench.suite import Block, Suite, load_suite
from autopeft.errors import UnknownNameError, UsageError
from autopeft.report.board import Standing, arranged, rows_of
from autopeft.report.board_sections import sections
from autopeft.report.section import markdown
from tests.bench.made_up import AT, about

SUITE = """
tasks: [easy, hard]
backbones: [tiny]
methods: [lora, ia3, head_only, vera]
policies: {search: {space: quick}}
rates: [1, 3]
seeds: [0, 1]
"""
PARAMS = {"lora": 100, "ia3": 10, "head_only": 0, "vera": 1, "search": 10}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    file = tmp_path / "made_up.yaml"
    file.write_text(SUITE, encoding="utf-8")
    return load_suite(str(file))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(results=tmp_path / "cells")


def block(task: str) -> Block:
    return Block(backbone="tiny", task=task, examples=1_000, epochs=5)


def result(method: str, score: float, selection: float = 0.5) -> dict[str, Any]:
    scores = {"accuracy": score, "macro-f1": score / 2, "mcc": 0.0}
    costs = {"trainable_params": PARAMS[method], "head_params": 3, "train_seconds": 2.0}
    costs |= {"artifact_bytes": 8, "peak_memory_bytes": 9, "latency_seconds": 0.001}
    selected = {**scores, "accuracy": selection}
    return {"state": "complete", "test": scores, "selection": selected, "costs": costs, **AT}


FAILURE = {"state": "failed", "cause": "non-finite-loss", "message": "made up", **AT}


@pytest.fixture
def train(suite: Suite, places: Places) -> Callable[..., Cells]:
    """Return a function that writes what methods scored, by seed; None is a failure."""

    def write(task: str, scores: Mapping[str, tuple[float | None, float | None]]) -> Cells:
        cells = Cells(places.cells(block(task)), about(task))
        for entry in suite.entries:
            if entry.name not in scores:
                continue
            low, high = tries(suite, entry, block(task))
            first, second = scores[entry.name]
            cells.add(low, FAILURE if first is None else result(entry.name, first, 0.7))
            cells.add(high, FAILURE if first is None else result(entry.name, 0.99, 0.6))
            if first is not None:
                line = FAILURE if second is None else result(entry.name, second)
                cells.add(Cell(low.candidate, 1), line)
        return cells

    return write


def standings(suite: Suite, places: Places, **options: Any) -> dict[str, Standing]:
    (group,) = read_board(Part.of(suite, tasks=["easy"]), places, **options).groups
    return {row.name: row for row in group.tasks[0].standings}


def test_the_rate_is_chosen_by_selection_and_the_test_score_is_its_own(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    train("easy", {"lora": (0.9, 0.7)})
    row = standings(suite, places)["lora"]
    assert row.scores == {0: 0.9, 1: 0.7}
    assert (row.mean, row.spread) == (pytest.approx(0.8), pytest.approx(0.02**0.5))
    assert row.learning_rate == pytest.approx(0.002)
    assert (row.state, row.settled, row.note) == ("complete", True, "")
    assert row.costs["train_seconds"] == 2.0


def test_ranks_fronts_and_normalised_scores(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    train(
        "easy",
        {"lora": (0.8, 0.8), "ia3": (0.8, 0.8), "head_only": (0.7, 0.7), "vera": (None, None)},
    )
    rows = standings(suite, places)
    assert [row.name for row in rows.values()][:3] == ["ia3", "lora", "head_only"]
    assert {name: row.rank for name, row in rows.items()} == {
        "ia3": 1.5, "lora": 1.5, "head_only": 3.0, "vera": 4.0, "search": None,
    }  # fmt: skip
    assert {name for name, row in rows.items() if row.front} == {"ia3", "head_only"}
    assert rows["head_only"].normalised == pytest.approx((0.7 - 0.6) / (0.8 - 0.6))
    assert (rows["vera"].normalised, rows["vera"].mean) == (0.0, None)
    assert rows["vera"].note == "non-finite-loss: made up"
    assert (rows["search"].state, rows["search"].note) == ("missing", "not trained yet")


def test_a_seed_that_failed_counts_as_a_model_that_learnt_nothing(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    train("easy", {"lora": (0.9, None)})
    row = standings(suite, places)["lora"]
    assert row.scores == {0: 0.9, 1: 0.6}
    assert (row.state, row.settled) == ("partial", True)
    assert row.note == "seed 1 failed: non-finite-loss"


def test_a_row_is_not_done_while_a_rate_is_untried(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    cells = train("easy", {})
    low, _ = tries(suite, suite.entries[0], block("easy"))
    for seed in (0, 1):
        cells.add(Cell(low.candidate, seed), result("lora", 0.9))
    row = standings(suite, places)["lora"]
    assert (row.state, row.settled) == ("partial", False)
    assert row.note == "1 of 2 rates not trained yet"


def test_another_metric_ranks_where_the_task_has_it(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    train("easy", {"lora": (0.9, 0.9)})
    assert standings(suite, places, metric="macro-f1")["lora"].mean == pytest.approx(0.45)
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        standings(suite, places, metric="accurcy")


def test_ranks_over_tasks_leave_no_hole_unsaid(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    every = {"lora": (0.9, 0.9), "ia3": (0.8, 0.8), "head_only": (0.7, 0.7)}
    train("easy", {**every, "vera": (None, None)})
    train("hard", every)
    (group,) = read_board(Part.of(suite), places).groups
    assert [table.counts for table in group.tasks] == [True, False], "vera is missing on one"
    assert [row.name for row in group.overall] == ["lora", "ia3", "head_only", "vera"]
    Skips(places.cells(block("hard")).parent).note(block("hard"), "vera", "made up")
    (group,) = read_board(Part.of(suite), places).groups
    assert [table.counts for table in group.tasks] == [True, True]
    assert [(row.name, row.rank) for row in group.overall] == [
        ("lora", 1.0), ("ia3", 2.0), ("head_only", 3.0),
    ]  # fmt: skip
    assert group.unranked == ("vera",)
    assert group.overall[0].train_seconds == 4.0
    assert "critical difference" in group.verdict[1]
    page = markdown("Board", sections([read_board(Part.of(suite), places)]))
    assert "Not ranked over all tasks, for want of a result on one that counts: vera." in page
    assert "No result of vera: made up." in page


def test_the_best_row_of_a_task_normalises_whether_or_not_it_is_ranked_over_all(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    every = {"lora": (0.8, 0.8), "ia3": (0.7, 0.7), "head_only": (0.7, 0.7), "vera": (0.6, 0.6)}
    cells = train("easy", every)
    train("hard", every)
    for seed in (0, 1):
        cells.add(Searched("search", "quick", seed), result("search", 1.0))
    (group,) = read_board(Part.of(suite), places).groups
    assert group.unranked == ("search",)
    (row,) = (row for row in group.overall if row.name == "lora")
    own = [one.normalised for t in group.tasks for one in t.standings if one.name == "lora"]
    assert own == pytest.approx([0.5, 1.0])
    assert row.normalised == pytest.approx(0.75)


def test_what_failed_everywhere_is_on_no_front(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    for task in ("easy", "hard"):
        train(task, {"lora": (0.9, 0.9), "ia3": (0.8, 0.8), "vera": (None, None)})
    (group,) = read_board(Part.of(suite, rows=["lora", "ia3", "vera"]), places).groups
    assert {row.name: row.front for row in group.overall} == {
        "lora": True, "ia3": True, "vera": False,
    }  # fmt: skip


def test_a_search_is_ranked_beside_the_methods_and_says_what_it_chose(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    cells = train("easy", {"lora": (0.8, 0.8)})
    for seed, method in ((0, "ia3"), (1, "lora")):
        chosen = {"chosen": {"method": method}, "cpu_seconds": 3.0}
        cells.add(Searched("search", "quick", seed), {**result("search", 0.9), **chosen})
    row = standings(suite, places)["search"]
    assert (row.rank, row.note, row.costs["cpu_seconds"]) == (1.0, "chose ia3, lora", 3.0)


def test_a_search_that_lacks_a_seed_says_so_over_all_tasks(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    every = {"lora": (0.9, 0.9), "ia3": (0.8, 0.8), "head_only": (0.7, 0.7), "vera": (0.6, 0.6)}
    cells = train("easy", every)
    chosen = {"chosen": {"method": "ia3"}, "cpu_seconds": 3.0}
    cells.add(Searched("search", "quick", 0), {**result("search", 0.95), **chosen})
    board = read_board(Part.of(suite), places)
    (group,) = board.groups
    assert {row.name: row.partial for row in group.overall if row.partial} == {"search": ("easy",)}
    assert "partial on easy" in markdown("Board", sections([board]))


def test_a_difference_that_no_ranks_can_have_tells_nothing_apart(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    every = {"lora": (0.9, 0.9), "ia3": (0.8, 0.8), "head_only": (0.7, 0.7), "vera": (0.6, 0.6)}
    for task in ("easy", "hard"):
        train(task, every)
    (group,) = read_board(Part.of(suite), places).groups
    assert "so few tasks tell no two apart" in group.verdict[1]
    assert "the p-value is rough" in group.verdict[0]


def test_rows_for_programs_are_alike_and_name_the_command(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    every = {"lora": (0.9, 0.9), "ia3": (0.8, 0.8), "head_only": (0.7, 0.7), "vera": (0.6, 0.6)}
    train("easy", every)
    board = read_board(Part.of(suite), places)
    rows = rows_of([board])
    assert len({tuple(row) for row in rows}) == 1
    one = next(row for row in rows if row["task"] == "easy" and row["name"] == "lora")
    assert str(one["command"]).endswith("--tasks easy --methods lora --seeds SEED --again")
    assert {row["task"] for row in rows} == {"all tasks", "easy", "hard"}
    small = rows_of([arranged(board, front=True, sort="trainable_params")])
    assert [row["name"] for row in small if row["task"] == "easy"] == ["head_only", "ia3", "lora"]
    page = markdown("Board", sections([arranged(board, front=True, sort=None)]))
    assert "hard: not trained yet." in page, "what is not there has nothing to do with the front"
    with pytest.raises(UnknownNameError, match="did you mean 'trainable_params'"):
        arranged(board, front=False, sort="trainable_param")


def test_cells_of_other_rows_than_the_suite_asks_for_are_refused(
    suite: Suite, places: Places, train: Callable[..., Cells]
) -> None:
    train("easy", {"lora": (0.9, 0.9)})
    smaller = dataclasses.replace(suite, test=5, max_length=64)
    with pytest.raises(UsageError, match=r"another test, max_length than .* --results"):
        read_board(Part.of(smaller), places)


def test_the_time_of_a_search_is_that_of_single_methods_alone(tmp_path: Path) -> None:
    file = tmp_path / "mixed.yaml"
    file.write_text(SUITE.replace("vera]", "unipelt]"), encoding="utf-8")
    mixed, cells = load_suite(str(file)), Cells(tmp_path / "easy.jsonl", about("easy"))
    for entry in mixed.entries:
        for cell in tries(mixed, entry, block("easy")):
            cells.add(cell, result("lora", 0.5))
    here = Pace(hardware=AT["hardware"], about={})
    assert seconds(cells, mixed, block("easy"), 0, here) == 3 * 2 * 2.0, "three methods, two rates"
    assert seconds(cells, mixed, block("easy"), 1, here) == 0.0
