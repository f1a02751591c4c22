"""Tables: for people, for programs, for spreadsheets; and the leaderboard's rows."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autopeft.records import Candidate, Cause, Costs, RungPoint, TrialRecord, TrialState
from autopeft.report.failures import failures
from autopeft.report.leaderboard import SHOWN, leaderboard
from autopeft.report.table import as_csv, as_text, cell, show

ROWS: list[dict[str, object]] = [
    {"name": "a", "score": 0.123456, "params": 12345, "front": True, "note": None},
    {"name": "b [red]x[/]", "score": None, "params": 0, "front": False, "note": "ü"},
]


def shown(form: str, **options: Any) -> str:
    output = io.StringIO()
    show(ROWS, form, Console(file=output, width=100), **options)
    return output.getvalue()


def test_json_is_a_list_of_objects_with_everything() -> None:
    assert json.loads(shown("json", columns=("name",))) == ROWS


def test_csv_has_a_header_and_empty_cells_for_what_is_missing() -> None:
    lines = list(csv.reader(io.StringIO(shown("csv"))))
    assert lines[0] == list(ROWS[0])
    assert lines[2] == ["b [red]x[/]", "", "0", "False", "ü"]


def test_table_shows_the_columns_asked_for_and_no_markup_is_obeyed() -> None:
    text = shown("table", columns=("name", "params"))
    assert "12,345" in text
    assert "b [red]x[/]" in text
    assert "score" not in text


def test_empty_table_says_so() -> None:
    output = io.StringIO()
    show([], "table", Console(file=output))
    assert output.getvalue() == "nothing to show\n"
    assert as_csv([]) == ""


def test_text_for_programs_is_json_or_csv() -> None:
    rows = [{"name": "ä", "n": 1}]
    assert json.loads(as_text(rows, "json")) == rows
    assert as_text(rows, "csv") == as_csv(rows)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_neutralised(start: str) -> None:
    text = as_csv([{"name": f"{start}HYPERLINK(1)", "n": -3, "x": -0.5}])
    unrun = f"'{start}HYPERLINK(1)".replace("\r", "\n")
    assert read(text)[1] == [unrun, "-3", "-0.5"]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("-1", False),
        ("+0.5", False),
        ("-.5e-3", False),
        ("-1+1", True),
        ("-1\n", True),
        ("-", True),
    ],
)
def test_texts_that_are_numbers_stay_as_they_are(text: str, quoted: bool) -> None:
    assert read(as_csv([{"prediction": text}]))[1] == ["'" * quoted + text]


def test_line_breaks_stay_inside_their_cell() -> None:
    text = as_csv([{"name": "a\r=1+1\r\nb\nc", "n": 1}])
    assert read(text) == [["name", "n"], ["a\n=1+1\nb\nc", "1"]]
    assert "\r" not in text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return set(text) <= set("+-.eE0123456789")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_no_cell_of_a_csv_begins_a_formula(texts: list[str]) -> None:
    cells = read(as_csv([{f"c{index}": text for index, text in enumerate(texts)}]))[1]
    for before, after in zip(texts, cells, strict=True):
        assert not after.startswith(("=", "+", "-", "@", "\t", "\r")) or _is_number(after)
        assert (
            after.removeprefix("'") in (plain := before.replace("\r\n", "\n").replace("\r", "\n"))
            or after == plain
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (0.98765432, "0.9877"),
        (["a", 2], "a, 2"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


LORA = Candidate(method="lora", learning_rate=1e-3, epochs=2)


def record(number: int, **changes: Any) -> TrialRecord:
    made = TrialRecord(
        number=number,
        candidate=LORA,
        seed=0,
        state=TrialState.COMPLETE,
        origin="tpe",
        costs=Costs(trainable_params=100),
        score=0.5,
    )
    return dataclasses.replace(made, **changes)


POINT = RungPoint(rung=0, share=0.25, score=0.99, wall_seconds=1.0)
RECORDS = [
    record(0, state=TrialState.FAILED, score=None, cause=Cause.BUG, message="KeyError"),
    record(1, state=TrialState.STOPPED, score=None, curve=(POINT,)),
    record(2, score=0.7),
    record(3, score=0.9),
    record(4, score=0.9, costs=Costs(trainable_params=10)),
    record(5, state=TrialState.RUNNING, score=None),
]


def rows_of(higher: bool = True) -> list[dict[str, object]]:
    return leaderboard(RECORDS, metric="accuracy", higher_is_better=higher, front=[4])


def test_finished_come_first_by_score_then_size_then_stopped_then_failed() -> None:
    assert [row["name"] for row in rows_of()] == [f"trial {n}" for n in (4, 3, 2, 1, 0, 5)]
    assert [row["name"] for row in rows_of(higher=False)][:3] == ["trial 2", "trial 4", "trial 3"]


def test_stopped_trial_shows_its_last_score_and_how_far_it_came() -> None:
    row = rows_of()[3]
    assert (row["score"], row["share_trained"], row["state"]) == (0.99, 0.25, "stopped")


def test_rows_are_plain_json_and_name_the_front() -> None:
    rows = rows_of()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["name"] for row in rows if row["front"]] == ["trial 4"]
    assert set(SHOWN) <= rows[0].keys()


def test_failures_are_grouped_by_cause() -> None:
    memory = {"state": TrialState.FAILED, "score": None, "cause": Cause.OUT_OF_MEMORY}
    ia3 = dataclasses.replace(LORA, method="ia3")
    lines = failures(
        [
            *RECORDS,
            record(6, **memory, message="no room"),
            record(7, **memory, message="none at all", candidate=ia3),
        ]
    )
    assert lines == [
        "2 × out-of-memory: ia3, lora (first: no room)",
        "1 × bug: lora (first: KeyError)",
    ]
    assert failures(RECORDS[1:]) == []


def test_large_scores_have_no_exponent() -> None:
    assert [cell(value) for value in (23_456.7, -12_345.6, 9_999.7, 9_999.4, 5e-05, 0.5)] == [
        "23,457", "-12,346", "10,000", "9999", "5e-05", "0.5",
    ]  # fmt: skip
