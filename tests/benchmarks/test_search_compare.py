"""The comparison replays what is missing, sums it up, draws it and writes its page."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autopeft.bench.cells import Cell, Cells
from autopeft.records import Candidate
from autopeft.search.other_tasks import read, tasks_of
from autopeft.search.portfolio import learnt
from benchmarks.search import compare, learn, page, plot
from benchmarks.search.page import NONE_YET, PAGE
from benchmarks.search.policies import ENTRANTS
from benchmarks.search.policies.learned import (
    LEAST_SPREAD,
    learn_gains,
    learn_rates,
    learn_sizes,
)
from benchmarks.search.recorded import Table, read_table
from benchmarks.search.summary import aims, ceilings, everything, lacking, summary, unplayed
from benchmarks.table.candidates import candidates
from tests.benchmarks.made_up import BACKBONE, Score, table
from tests.search.made_up import final_score

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("compare")]

EVERY = candidates(BACKBONE)
LORA = [one for one in EVERY if one.method == "lora"]
TASKS = ("one", "two")


def write(made: Table, folder: Path) -> Path:
    """Write a table as recorded cells."""
    BACKBONE.write(folder)
    about = {
        "rows": {"train": made.train_rows},
        "task": made.task,
        "metric": made.metric,
        "labels": made.labels,
        "targets": {name: f"uint8:{_text(values)}" for name, values in made.targets.items()},
    }
    cells = Cells(folder / f"{made.task}.jsonl", json.loads(json.dumps(about)))
    for row in made.rows:
        for one in row.trainings:
            line: dict[str, Any] = {"state": "failed", "cause": "bug"}
            if one.score is not None:
                line = {
                    "state": "complete",
                    "curve": one.curve,
                    "selection": {"accuracy": one.score},
                    "test": {"accuracy": one.test},
                    "predicted": one.predicted,
                    "costs": {"trainable_params": row.trainable_params, "artifact_bytes": 8},
                }
            cells.add(Cell(row.candidate, one.seed), line)
    return cells.file


def _text(values: np.ndarray) -> str:
    from autopeft.bench.rows import packed

    return packed(values).partition(":")[2]


def test_a_table_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    made = table(lambda one, params, seed: None if seed else 0.75, found=EVERY[:4])
    read = read_table(write(made, tmp_path))
    assert [row.candidate for row in read.rows] == [row.candidate for row in made.rows]
    for was, now in zip(made.rows, read.rows, strict=True):
        assert (now.trainings, now.trainable_params) == (was.trainings, was.trainable_params)
        assert (now.score, len(now.complete)) == (None, 1)
    assert (read.digest, read.higher_is_better) == (made.digest, True)
    assert np.array_equal(read.targets["test"], made.targets["test"])
    assert read.seeds == 0
    assert read_table(tmp_path / "made-up.jsonl", seeds=3).rows == ()


def test_what_suites_trained_is_left_out_where_tables_are_compared(tmp_path: Path) -> None:
    other = dataclasses.replace(EVERY[0], learning_rate=0.0123)
    file = write(table(found=[*EVERY[:3], other], seeds=(0, 1, 2)), tmp_path)
    assert len(read_table(file).rows) == 4
    drawn = read_table(file, seeds=2, drawn=True)
    assert [row.candidate for row in drawn.rows] == [
        row.candidate for row in read_table(file).rows if row.candidate != other
    ]
    assert {one.seed for row in drawn.rows for one in row.trainings} == {0, 1}
    first = read_table(file, seeds=1, drawn=True)
    assert {one.seed for row in first.rows for one in row.trainings} == {0}


@pytest.mark.parametrize(
    ("there", "asked", "seeds"), [((0, 1), 2, 2), ((0, 1), 1, 1), ((0,), 1, 1), ((0,), 2, 0)]
)
def test_a_table_s_seeds_are_those_that_were_asked_for(
    tmp_path: Path, there: tuple[int, ...], asked: int, seeds: int
) -> None:
    file = write(table(lambda *_: 0.75, seeds=there), tmp_path)
    assert read_table(file, seeds=asked, drawn=True).seeds == seeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return cells of two tasks."""
    folder = tmp_path_factory.mktemp("search")
    for task in TASKS:
        write(table(_shifted(task), task=task), folder / "cells" / "tiny")
    return folder


@pytest.fixture
def two_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "TASKS", TASKS)


def _shifted(task: str) -> Score:
    return lambda one, params, seed: final_score(one, params, seed + len(task))


@pytest.fixture(scope="module")
def options(folder: Path) -> Callable[..., list[str]]:
    shared = ["--backbone", "tiny", "--cells", str(folder / "cells")]
    shared += ["--results", str(folder / "results"), "--tasks", ",".join(TASKS)]
    return lambda *more: [*shared, *more]


@pytest.fixture(scope="module")
def lines(folder: Path, options: Callable[..., list[str]]) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compare, "TASKS", TASKS)
        asked = ["--policies", "random,random+asha,ours+both", "--seeds", "2", "--recorded", "1"]
        compare.main(options(*asked))
    return compare.read_lines(folder / "results" / "tiny.jsonl")


@pytest.mark.usefixtures("two_tasks")
def test_each_policy_is_replayed_once_per_task_and_seed(
    folder: Path, options: Callable[..., list[str]], lines: list[dict[str, Any]]
) -> None:
    assert len(lines) == 3 * 2 * 2
    file = folder / "results" / "tiny.jsonl"
    before = file.read_bytes()
    once = options("--recorded", "1")
    compare.main([*once, "--policies", "random,random+asha", "--seeds", "2"])
    assert file.read_bytes() == before
    compare.main([*once, "--policies", "random", "--seeds", "1", "--again", "random"])
    again = compare.read_lines(file)
    assert len(again) == len(lines)
    assert len(file.read_bytes()) > len(before)


def test_what_saw_an_earlier_table_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "TASKS", ("a", "b"))
    made = [line_of("random", "a", 100, table="old"), line_of("random", "b", 100)]
    made += [{**line_of("ours+both", "b", 9), "learnt_on": {"a": "old"}}]
    made += [line_of("random", "a", 200, table="new")]
    assert compare.current_lines(_written(made, tmp_path)) == [made[1], made[3]]


def test_what_learnt_on_some_of_the_other_tasks_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "TASKS", ("a", "b", "c"))
    line = line_of("ours+both", "b", 9)
    whole = {**line, "learnt_on": {"a": "same", "c": "same"}}
    made = [{**line, "learnt_on": {"a": "same"}}, whole, line, line_of("random", "a", 9)]
    assert compare.current_lines(_written(made, tmp_path)) == [whole, made[3]]


def test_lines_of_an_earlier_version_of_a_policy_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = dataclasses.replace(ENTRANTS["random"], version=2)
    monkeypatch.setattr(compare, "ENTRANTS", {**ENTRANTS, "random": changed})
    made = [line_of("random", "a", 9), {**line_of("random", "a", 8), "version": 2}]
    made += [line_of("tpe", "a", 7), line_of("no such policy", "a", 6)]
    made += [{name: value for name, value in made[2].items() if name != "version"}]
    assert compare.current_lines(_written(made, tmp_path)) == made[1:3]
    assert compare.current_lines(_written(made[1::-1], tmp_path)) == made[1:2]


def _written(lines: list[dict[str, Any]], folder: Path) -> Path:
    file = folder / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


@pytest.mark.usefixtures("two_tasks", "lines")
def test_a_line_that_was_cut_is_replayed_and_written_again(
    folder: Path, options: Callable[..., list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.jsonl"
    kept = (folder / "results" / "tiny.jsonl").read_text(encoding="utf-8").splitlines()[0]
    file.write_text(f"{kept}\n{kept[:50]}", encoding="utf-8")
    asked = ["--policies", "random", "--seeds", "2", "--recorded", "1", "--tasks", "one"]
    compare.main([*options(), *asked, "--results", str(tmp_path)])
    assert [json.loads(text)["seed"] for text in file.read_text("utf-8").splitlines()] == [0, 1]


@pytest.mark.usefixtures("two_tasks")
def test_what_is_learnt_is_learnt_on_tasks_that_are_not_replayed(
    options: Callable[..., list[str]], tmp_path: Path
) -> None:
    asked = ["--policies", "ours+both", "--seeds", "1", "--recorded", "1", "--tasks", "one"]
    compare.main([*options(), *asked, "--results", str(tmp_path)])
    (line,) = compare.read_lines(tmp_path / "tiny.jsonl")
    assert (line["task"], list(line["learnt_on"])) == ("one", ["two"])


def test_what_is_learnt_is_learnt_on_the_other_task(lines: list[dict[str, Any]]) -> None:
    learnt = {(line["task"], tuple(line["learnt_on"])) for line in lines if line["learnt_on"]}
    assert learnt == {("one", ("two",)), ("two", ("one",))}
    assert all(not line["learnt_on"] for line in lines if line["policy"] == "random")


def test_a_replay_s_line_tells_its_growth_and_its_choices(lines: list[dict[str, Any]]) -> None:
    whole = [line for line in lines if line["policy"] == "random"]
    for line in whole:
        epochs, shares = zip(*line["growth"], strict=True)
        assert list(epochs) == sorted(epochs)
        assert list(shares) == sorted(shares)
        assert shares[-1] >= 0.99 or line["trainings"] == line["rows"]
        assert line["epochs"] == 5 * line["trainings"]
        assert line["trainings"] < line["rows"] or line["compute"] == line["compute_of_all"]
        assert 0 < line["compute_to_99"] <= line["compute"] < line["epochs"]
        assert dict(line["growth"])[line["epochs_to_99"]] >= 0.99
        assert all(one["regret"] >= one["tried"] >= 0 for one in line["delivered"].values())
        assert line["everything"]["tried"] == 0 <= line["everything"]["regret"]
        assert (line["seeds"], line["ceiling"]) == (1, 1)


def test_what_cannot_be_searched_yet_is_refused_by_name(
    folder: Path, options: Callable[..., list[str]]
) -> None:
    cells, shared = folder / "cells", [*options(), "--policies", "random", "--seeds", "1"]
    write(table(task="headless", found=EVERY[2:]), cells / "tiny")
    write(table(task="once", seeds=(0,)), cells / "tiny")
    with pytest.raises(SystemExit, match="not all trainings of headless, once, none"):
        compare.main([*shared, "--tasks", "headless,one,once,none"])
    with pytest.raises(SystemExit, match="not all trainings of subj"):
        compare.main([*shared, "--tasks", "one", "--policies", "ours+both"])
    bare = cells / "bare" / "one.jsonl"
    bare.parent.mkdir()
    bare.write_bytes((cells / "tiny" / "one.jsonl").read_bytes())
    with pytest.raises(SystemExit, match=r"benchmarks\.table\.record --show writes it"):
        compare.main([*shared, "--backbone", "bare", "--tasks", "one"])


def line_of(
    policy: str, task: str, epochs: int | None, *, table: str = "same", **choice: Any
) -> dict[str, Any]:
    return {
        "policy": policy,
        "version": 1,
        "task": task,
        "seed": 0,
        "table": table,
        "learnt_on": {},
        "rows": 100,
        "epochs_of_all": 500,
        "compute_of_all": 250.0,
        "epochs_to_99": epochs,
        "compute_to_99": epochs and epochs / 4,
        "growth": [[5, 0.5], [epochs or 500, 0.99]],
        "delivered": {
            str(budget): {
                "regret": 0.01,
                "fair_regret": 0.005,
                "tried": 0.002,
                "within": True,
                "ratio": 0.5,
                **choice,
            }
            for budget in compare.BUDGETS
        },
        "everything": {"regret": 0.016, "fair_regret": 0.005, "within": True, "ratio": 0.5},
        "ceiling": 1.0,
        "delivered_for_compute": {"regret": 0.02, "within": True, "ratio": 0.5},
        "cpu_seconds": 1.0,
        "seeds": 2,
    }


def in_default_space(policy: str, task: str, epochs: int | None, ceiling: float) -> dict[str, Any]:
    return {**line_of(policy, task, epochs), "ceiling": ceiling}


def test_a_policy_s_row_is_over_tasks_and_replays() -> None:
    made = [line_of("random", task, epochs) for task, epochs in (("a", 100), ("b", 400))]
    made += [line_of("ours:shipped", "a", 50), line_of("ours:shipped", "b", None, within=False)]
    ours, random = sorted(summary(made), key=lambda row: row["policy"])
    assert random["epochs to 99 %"] == pytest.approx(200)
    assert ours["epochs to 99 %"] == pytest.approx(math.sqrt(50 * 500), abs=0.1)
    assert ours["of random"] == pytest.approx(math.sqrt(50 * 500) / 200, abs=1e-3)
    assert (random["compute"], ours["compute"]) == (
        50,
        pytest.approx(math.sqrt(12.5 * 250), abs=0.1),
    )
    assert (ours["reached"], random["reached"]) == (0.5, 1)
    assert random["for compute"] == 0.02
    assert (ours["within 1 SE"], ours["parameters"], ours["regret"]) == (0.5, 0.5, 0.01)
    assert ours["fair"] == 0.005
    told = aims(made)
    assert told[0].startswith("`ours:shipped` needs 0.79 of the epochs of the best generic policy")
    assert aims(made[:2]) == []
    assert (random["90 %"], ours["90 %"]) == (200, pytest.approx(math.sqrt(50 * 500), abs=0.1))
    assert told[1] == "to 90 % it needs 0.79 of the epochs of the best generic policy, `random`"


def test_ours_is_beside_the_generic_policies_of_its_space_too() -> None:
    made = [line_of("random", "a", 100), in_default_space("random:default", "a", 80, 0.9)]
    made += [in_default_space("nsga2:default", "a", 50, 0.9)]
    made += [in_default_space("ours:shipped", "a", 40, 0.9)]
    told = "\n".join(aims(made))
    assert "needs 0.80 of the epochs of the best generic policy, `nsga2:default`" in told
    assert "0.40 of those of random search, 0.50 of those of random search in its space" in told


def test_who_is_told_scores_beforehand_is_a_bound_and_no_rival() -> None:
    made = [line_of("random", "a", 100), line_of("ours:shipped", "a", 60)]
    before = aims(made)
    made.append(line_of("foreknown", "a", 20, regret=0.001))
    assert [aim for aim in aims(made) if aim not in before] == [
        "told beforehand what every candidate scores under one seed, one still needs 0.20 of the "
        "epochs of random search"
    ]
    assert set(before) < set(aims(made))


def test_what_a_space_covers_is_told_where_that_is_not_all() -> None:
    made = [in_default_space("ours:shipped", task, 40, 0.9) for task in "ab"]
    made += [in_default_space("tpe:default", task, None, 0.9) for task in "ab"]
    made += [line_of("random", task, 100) for task in "ab"]
    assert ceilings(made) == [{"policies": "`ours:shipped`, `tpe:default`", "a": 0.9, "b": 0.9}]
    made[2]["growth"], made[3]["growth"] = [[[5, 0.5], [20, 0.889], [60, 0.9]]] * 2
    rows = {row["policy"]: row for row in summary(made)}
    assert rows["tpe:default"]["epochs to 99 %"] == pytest.approx(500)
    assert rows["tpe:default"]["of its space"] == 60
    assert rows["random"]["of its space"] is None


def test_what_was_tried_and_all_there_is_are_told_beside_the_choice() -> None:
    made = [line_of("ours:shipped", task, 40) for task in "ab"]
    made += [line_of("random", "a", 100, tried=0.004)]
    ours, random = sorted(summary(made), key=lambda row: row["policy"])
    assert (ours["tried"], random["tried"]) == (0.002, 0.004)
    (told,) = everything(made)
    assert told == {
        "policy": "everything trained",
        "regret": 0.016,
        "fair": 0.005,
        "within 1 SE": 1.0,
        "parameters": 0.5,
    }


def test_what_a_table_lacks_is_said() -> None:
    lines = [{**line_of("random", task, 100), "seeds": 2} for task in "ab"]
    assert lacking(lines) is None
    assert "one of 2 seeds" in str(lacking([{**lines[0], "seeds": 1}, lines[1]]))


def test_what_was_not_replayed_is_said_by_name() -> None:
    lines = [line_of(name, "a", 100) for name in ENTRANTS if name not in ("gp", "ours")]
    assert unplayed(lines, ENTRANTS) == "Replays of each task: 1. Not replayed: `gp`, `ours`."
    whole = [line_of(name, "a", 100) for name in ENTRANTS]
    assert unplayed(whole, ENTRANTS) == "Replays of each task: 1."
    more = [*whole, {**line_of("ours", "a", 100), "seed": 1}]
    assert unplayed(more, ENTRANTS) == "Replays of each task: 1 to 2."


def test_the_lowest_regret_is_told_whoever_has_it() -> None:
    made = [line_of("random", "a", 100, regret=0.02), line_of("ours:shipped", "a", 50)]
    assert not any("lowest regret" in aim for aim in aims(made))
    made[0] = line_of("random", "a", 100, regret=0.004)
    assert "`random` has the lowest regret, 0.40 points" in aims(made)


def test_curves_are_steps_between_trainings() -> None:
    grid = np.arange(0, 30, 5)
    _, mean, deviation = plot.hypervolume_curve([line_of("random", "a", 20)], grid)
    assert mean.tolist() == [0, 0.5, 0.5, 0.5, 0.99, 0.99]
    assert not deviation.any()


@pytest.mark.usefixtures("lines", "two_tasks")
def test_pictures_and_page_say_that_one_of_the_seeds_was_used(folder: Path) -> None:
    shared = ["--backbone", "tiny", "--results", str(folder / "results")]
    plot.main([*shared, "--output", str(folder)])
    assert "one of 2 seeds" in (folder / "search-hypervolume.svg").read_text(encoding="utf-8")
    page.main([*shared, "--output", str(folder / "search.md")])
    text = (folder / "search.md").read_text(encoding="utf-8")
    assert "one of 2 seeds" in text
    assert "| ours+both | 2 | 4 |" in text
    assert "Not replayed: `tpe`" in text
    assert "everything trained" in text


def test_the_committed_page_follows_from_the_committed_results() -> None:
    lines = compare.current_lines(compare.RESULTS / "minilm-l6.jsonl")
    assert PAGE.read_text(encoding="utf-8") == page.page(lines)
    assert (NONE_YET in page.page(lines)) == (not lines)


def test_a_gain_is_the_way_from_the_head_alone_to_the_best() -> None:
    def scored(one: Candidate, params: int, seed: int) -> float | None:
        if one.fingerprint == EVERY[5].fingerprint:
            return None
        return {"head_only": 0.4, "lora": 0.5}.get(one.method, 0.6)

    tables = [table(scored, task="a"), table(scored, task="b", found=EVERY[:9])]
    found = {one.candidate.fingerprint: one.gains for one in learn_gains(tables)}
    assert set(found) == {one.fingerprint for one in EVERY[:9]}
    assert found[EVERY[0].fingerprint] == pytest.approx({"a": 0.5, "b": 0.5})
    assert found[EVERY[1].fingerprint] == {"a": 0.0, "b": 0.0}
    assert found[EVERY[5].fingerprint] == {}
    assert list(learn_gains([])) == []


def test_what_is_learnt_covers_what_tasks_need_together_without_the_references() -> None:
    best = {"a": EVERY[20].fingerprint, "b": EVERY[30].fingerprint}

    def scored(task: str) -> Score:
        return lambda one, params, seed: 0.9 if one.fingerprint == best[task] else 0.6 + seed / 9

    tables = [table(scored(task), task=task) for task in best]
    found = learnt(list(learn_gains(tables)), tables[0].space)
    assert set(best.values()) <= {one.fingerprint for one in found}
    assert not {one.fingerprint for one in found} & {one.fingerprint for one in EVERY[:2]}


def test_a_rate_s_prior_moves_to_where_scores_are_good() -> None:
    def at(rate: float) -> Candidate:
        return dataclasses.replace(LORA[0], learning_rate=rate)

    found = [at(rate) for rate in (0.0005, 0.002, 0.008)]
    fast = table(lambda one, params, seed: 0.9 if one.learning_rate > 0.005 else 0.6, found=found)
    flat = table(lambda one, params, seed: 0.8, found=found)
    one, many, none = (learn_rates(made)["lora"] for made in ([fast], [fast] * 5, [flat] * 5))
    assert 0.002 < one.median < many.median < 0.008
    assert none.median == pytest.approx(0.002)
    assert LEAST_SPREAD <= many.spread < none.spread


def test_a_size_s_range_moves_to_what_is_on_the_front_of_its_method() -> None:
    def of(rank: int) -> Candidate:
        return dataclasses.replace(LORA[0], knobs={**LORA[0].knobs, "r": rank})

    found = [of(rank) for rank in (1, 2, 4, 8, 16, 32, 64)]
    small = table(lambda one, params, seed: 0.9 if one.knobs["r"] == 2 else 0.7, found=found)
    large = table(lambda one, params, seed: 0.5 + int(one.knobs["r"]) / 200, found=found)
    one, many, all_of_it = (
        learn_sizes(made)["lora"]["r"] for made in ([small], [small] * 5, [large] * 5)
    )
    assert (all_of_it.low, all_of_it.high) == (1, 64)
    assert 2 < many.high < one.high < 64
    assert (one.low, one.whole, one.log) == (1, True, True)
    assert {"lora", "pfeiffer"} <= set(learn_sizes([table()]))
    assert not {"ia3", "full"} & set(learn_sizes([table()]))


def test_nothing_is_shipped_from_an_incomplete_table(tmp_path: Path) -> None:
    for task in TASKS:
        write(table(task=task, found=EVERY[:24]), tmp_path / "tiny")
    shared = ["--backbone", "tiny", "--cells", str(tmp_path), "--tasks", "one,two"]
    with pytest.raises(SystemExit, match="not all trainings of one, two"):
        learn.main([*shared, "--output", str(tmp_path / "other_tasks.json")])
    assert not (tmp_path / "other_tasks.json").exists()


def test_what_is_shipped_is_what_a_search_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(learn.ALSO, "one", ("eins",))
    write(table(_shifted("one"), task="one"), tmp_path / "tiny")
    file = tmp_path / "other_tasks.json"
    shared = ["--backbone", "tiny", "--cells", str(tmp_path), "--tasks", "one"]
    learn.main([*shared, "--output", str(file)])
    made = read_table(tmp_path / "tiny" / "one.jsonl")
    found = read(file)
    assert [one.candidate for one in found] == [row.candidate for row in made.rows]
    assert learnt(found, made.space) == learnt(list(learn_gains([made])), made.space)
    assert tasks_of(file) == {"one": "one", "eins": "one"}
    assert not any(one.gains for one in read(file, ["eins"]))
    about = json.loads(file.read_text(encoding="utf-8"))["tasks"]["one"]
    assert (about["table"], about["seeds"]) == (made.digest, 2)
