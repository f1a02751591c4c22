"""From a run folder to its page: what is read, what may be missing, what must not be loaded."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from datasets import Dataset

from autopeft.api import page
from autopeft.api.card import read_mistakes, read_splits
from autopeft.api.facts import command
from autopeft.api.opened import Opened
from autopeft.api.page import PAGE, read_view, write_page
from autopeft.config import SearchConfig
from autopeft.errors import RunFolderError
from tests.command import in_this_process
from tests.report.page.made_up import HOSTILE, folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("run") / "reviews", texts={9: HOSTILE})


def test_a_run_is_read_whole(run: Path) -> None:
    view = read_view(run)
    assert (view.name, view.metric, view.percent) == ("reviews", "accuracy", True)
    assert [record.number for record in view.records] == list(range(12))
    assert len(view.replicates[2]) == 1 and 3 not in view.replicates
    assert view.choice is not None and view.choice["number"] == 2
    assert view.gates == {3: [{"layer": 0, "part": "lora", "mean": 0.7, "spread": 0.1}]}
    assert view.wall_seconds == 171.0


def test_the_data_are_summed_up(run: Path) -> None:
    splits = {split.name: split for split in read_view(run).splits}
    assert {name: split.rows for name, split in splits.items()} == {
        "train": 30, "selection": 10, "test": 10,
    }  # fmt: skip
    assert splits["train"].labels == {"negative": 15, "positive": 15}
    assert sum(count for _, _, count in splits["train"].words) == 30
    assert splits["train"].words[0][:2] == (2, 2)


def test_numbers_of_all_splits_are_counted_in_the_same_bins(tmp_path: Path) -> None:
    labels = {"train": [0.5, 1.0, 3.0], "selection": [1.0, 2.0], "test": [0.0, 5.0]}
    for name, values in labels.items():
        rows = {"text": ["a"] * len(values), "label": values}
        Dataset.from_dict(rows).save_to_disk(tmp_path / "data" / name)
    found = read_splits(tmp_path, labels=())
    edges = [[(low, high) for low, high, _ in split.bins] for split in found]
    assert edges[0] == edges[1] == edges[2]
    assert [sum(count for *_, count in split.bins) for split in found] == [3, 2, 2]


def test_mistakes_come_with_their_texts_the_surest_first(run: Path) -> None:
    found = read_view(run).mistakes
    assert found is not None and found.rows == 10
    assert found.counts["positive", "negative"] == 4
    rows = [one.row for one in found.worst]
    assert rows == [108, 107, 105, 103, 101]
    chances = [one.probability for one in found.worst]
    assert chances == sorted(chances, reverse=True)
    assert found.worst[1].text == "word 7 " * 4


def test_of_many_numbers_every_test_row_counts(tmp_path: Path) -> None:
    rows = range(10_001)
    table = pa.table({"row": rows, "label": rows, "prediction": rows})
    parquet.write_table(table, tmp_path / "predictions.parquet")
    found = read_mistakes(tmp_path)
    assert found is not None and len(found.pairs) == found.rows == len(rows)


def test_too_few_trials_say_so(run: Path) -> None:
    found = read_view(run).importance
    assert not found.shares
    assert "too few" in found.note


def test_an_interrupted_run_has_a_page(tmp_path: Path) -> None:
    run = folder(tmp_path / "cut", finished=False)
    view = read_view(run)
    assert view.choice is None and view.mistakes is None
    assert view.records[-1].state == "running"
    said = write_page([run], run / PAGE).read_text(encoding="utf-8")
    assert "Nothing was delivered" in said


def test_a_run_without_its_data_and_facts_has_a_page(tmp_path: Path) -> None:
    run = folder(tmp_path / "old")
    shutil.rmtree(run / "data")
    (run / "facts.json").unlink()
    view = read_view(run)
    assert view.name == "reviews.csv" and not view.splits
    assert view.mistakes is not None and view.mistakes.worst[0].text is None
    write_page([run], run / PAGE)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        write_page([tmp_path], tmp_path / PAGE)


def test_a_page_that_cannot_be_written_says_why(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        write_page([run], tmp_path / "nowhere" / PAGE)


def test_a_page_that_cannot_be_made_costs_a_search_a_warning_and_nothing_else(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("no ink")

    said: list[str] = []
    monkeypatch.setattr(page, "render", broken)
    opened = SimpleNamespace(path=run, screen=SimpleNamespace(say=said.append))
    Opened._write_page(opened)
    assert said == ["warning: no report.html: ValueError: no ink"]
    monkeypatch.setitem(sys.modules, "autopeft.api.page", None)
    Opened._write_page(opened)
    assert said[1].startswith("warning: no report.html: ModuleNotFoundError")


def test_a_leaderboard_that_cannot_be_written_costs_a_warning_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    def full() -> list[dict[str, object]]:
        raise OSError(errno.ENOSPC, "No space left on device")

    said: list[str] = []
    (tmp_path / "leaderboard.csv").write_text("old")
    opened = SimpleNamespace(path=tmp_path, screen=SimpleNamespace(say=said.append), rows=full)
    Opened._write_leaderboard(opened)
    assert said == ["warning: no leaderboard.csv: OSError: [Errno 28] No space left on device"]
    assert (tmp_path / "leaderboard.csv").read_text() == "old"


def test_the_command_writes_one_page_in_the_run_and_several_here(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    autopeft = in_this_process(monkeypatch, capsys)
    done = autopeft("report", run)
    assert done.code == 0 and str(run / PAGE) in done.out
    done = autopeft("report", run, run)
    assert done.code == 0
    assert "2 runs side by side" in (tmp_path / PAGE).read_text(encoding="utf-8")
    assert autopeft("report", run, "-o", tmp_path / "other.html").code == 0
    assert (tmp_path / "other.html").is_file()


def test_writing_a_page_loads_no_deep_learning_library(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path; from autopeft.api.page import write_page; "
        "write_page([Path(sys.argv[1])], Path(sys.argv[2])); print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run), str(tmp_path / PAGE)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"torch", "transformers", "peft", "lightning"} & set(json.loads(done.stdout))


def test_the_command_of_a_run_names_what_was_set() -> None:
    given = SearchConfig.build(
        model="roberta-base", time_limit="30m", methods="lora,ia3", merge=True
    )
    assert command("my reviews.csv", given) == (
        "autopeft search 'my reviews.csv' --model roberta-base --methods lora,ia3 "
        "--time-limit 1800 --merge"
    )
    assert command({"text": ["a"]}, given) is None
    long = command("a.csv", SearchConfig.build(model="m", time_limit="12d", max_params="0.3m"))
    assert long == "autopeft search a.csv --model m --time-limit 1036800 --max-params 300000"
