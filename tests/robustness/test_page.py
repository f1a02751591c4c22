"""Every search leaves a page that says what it said."""

from __future__ import annotations

import html
import json

import pytest
from datasets import Dataset

from autopeft.api import page
from tests.robustness.conftest import Done

pytestmark = pytest.mark.slow


def test_the_page_of_a_search_says_what_the_search_said(done: Done) -> None:
    said = html.unescape((done.result.folder / "report.html").read_text(encoding="utf-8"))
    assert done.result.choice.reason in said.replace("\u00a0", " ")
    assert done.result.load_code() in said
    assert done.settings["model"] in said  # in the command to do it again


def test_the_page_counts_what_was_predicted_for_the_test_rows(done: Done) -> None:
    found = page.read_view(done.result.folder).mistakes
    told = Dataset.from_parquet(str(done.result.folder / "predictions.parquet"))
    assert found is not None and found.rows == sum(found.counts.values()) == len(told)
    right = sum(count for (true, predicted), count in found.counts.items() if true == predicted)
    assert right / len(told) == pytest.approx(done.result.choice.test_scores["accuracy"])
    rows = Dataset.load_from_disk(str(done.result.folder / "data" / "test"))
    texts = dict(zip(rows["row"], rows["text"], strict=True))
    assert all(one.text == texts[one.row] for one in found.worst)


def test_the_page_knows_the_data_as_they_were_encoded(done: Done) -> None:
    facts = json.loads((done.result.folder / "facts.json").read_text(encoding="utf-8"))
    splits = {split.name: split.rows for split in page.read_view(done.result.folder).splits}
    assert facts["data"]["rows"] == [splits["train"], splits["selection"]]
    assert facts["data"]["truncated"] == 0 < facts["data"]["longest"]
