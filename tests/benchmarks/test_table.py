"""The table's candidates are drawn once, spread over methods and rates, and recorded once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.bench.cells import Cells
from autopeft.bench.suite import Entry
from autopeft.methods import METHODS
from autopeft.records import Candidate, fingerprint
from autopeft.search.dimension import Choices, Dimension, Range, contains
from autopeft.search.portfolio import references
from benchmarks.protocol import CELLS
from benchmarks.table import record
from benchmarks.table.backbone import Backbone
from benchmarks.table.candidates import DRAWN, candidates, stages, table_space, value_at
from tests.search.made_up import backbone

BACKBONE = Backbone(shape=backbone(), excluded={"p_tuning": "made up"})


@pytest.fixture(scope="module")
def found() -> list[Candidate]:
    return candidates(BACKBONE)


def test_the_same_candidates_every_time(found: list[Candidate]) -> None:
    assert candidates(BACKBONE) == found


def test_the_recorded_candidates_stay_what_they_are() -> None:
    """Whatever becomes of the shipped spaces: other candidates would have to be trained anew."""
    recorded = candidates(Backbone.read(CELLS / "minilm-l6"))
    assert fingerprint([one.fingerprint for one in recorded]) == "459f7d81d514"


def test_every_candidate_is_in_the_space_and_none_is_there_twice(found: list[Candidate]) -> None:
    space = table_space(BACKBONE)
    assert len({one.fingerprint for one in found}) == len(found) >= 150
    assert all(one in space for one in found if one.method != "head_only")
    assert all(space.infeasible(one) is None for one in found)
    assert "p_tuning" not in {one.method for one in found}


def test_the_references_of_a_search_come_first(found: list[Candidate]) -> None:
    assert found[:2] == list(references(table_space(BACKBONE)).values())


def test_defaults_are_those_of_the_suites(found: list[Candidate]) -> None:
    for method in table_space(BACKBONE).methods:
        assert Entry(name=method, method=method).candidates(5)[1] in found


def test_two_thirds_of_what_is_drawn_is_placed_high(found: list[Candidate]) -> None:
    drawn = found[-DRAWN:]
    high = [one for one in drawn if one.placement and one.placement.layers.startswith("top")]
    assert len(high) / len(drawn) == pytest.approx(2 / 3, abs=0.05)


def test_methods_are_drawn_alike_and_their_rates_are_spread(found: list[Candidate]) -> None:
    drawn = found[-DRAWN:]
    numbers = Counter(one.method for one in drawn)
    placed = {name for name in numbers if METHODS.get(name).placement is not None}
    assert {numbers[name] for name in placed} == {3, 4}
    assert {numbers[name] for name in numbers.keys() - placed} == {2}
    for method, count in numbers.items():
        prior = METHODS.get(method).learning_rate
        shares = [
            math.log(one.learning_rate * prior.spread / prior.median) / math.log(prior.spread**2)
            for one in drawn
            if one.method == method
        ]
        assert all(-0.01 <= share <= 1.01 for share in shares)
        assert max(shares) - min(shares) > (count - 2) / count - 0.05, method


def test_stages_hold_every_candidate_once_references_and_cheap_ones_first(
    found: list[Candidate],
) -> None:
    parts = stages(BACKBONE)
    together = [one.fingerprint for part in parts.values() for one in part]
    assert sorted(together) == sorted(one.fingerprint for one in found)
    assert list(parts)[:2] == ["references", "cheap"]
    assert parts["references"] == found[:2]
    assert len({one.method for one in parts["cheap"]}) > 20


@given(
    st.sampled_from(
        [
            Choices(values=("a", "b", "c")),
            Range(low=1, high=64, log=True, whole=True),
            Range(low=1e-4, high=3e-3, log=True),
            Range(low=0.0, high=0.9),
        ]
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_a_share_of_a_dimension_is_one_of_its_values(dimension: Dimension, share: float) -> None:
    assert contains(dimension, value_at(dimension, share))


@pytest.fixture
def options(
    reviews: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return the command's options, for a table of three candidates on a tiny BERT."""

    def few(backbone: Backbone, epochs: int) -> dict[str, list[Candidate]]:
        found = candidates(backbone, epochs)
        high = [one for one in found if one.method == "ln_tuning" and one.placement]
        return {"references": found[:2], "cheap": high[:1]}

    monkeypatch.setattr(record, "stages", few)
    shared = ["--assets", str(reviews.parent), "--tasks", reviews.name, "--model", model]
    shared += ["--backbone", "tiny", "--epochs", "1", "--examples", "40", "--selection", "20"]
    shared += ["--cells", str(tmp_path / "cells")]
    return lambda *more: [*shared, *more]


@pytest.mark.slow
def test_recording_goes_on_where_it_was_stopped(
    options: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.main(options("--seeds", "0", "--stages", "references"))
    file = tmp_path / "cells" / "tiny" / "reviews.csv-40.jsonl"
    first = file.read_bytes()
    record.main(options())
    assert file.read_bytes().startswith(first)
    cells = [cell for cell, _ in Cells(file)]
    assert [(cell.seed, cell.candidate.method) for cell in cells] == [
        (seed, method) for seed in (0, 1) for method in ("lora", "head_only", "ln_tuning")
    ]
    whole = file.read_bytes()
    capsys.readouterr()
    record.main(options("--show"))
    record.main(options())
    assert file.read_bytes() == whole
    assert "reviews.csv seed 1: 3 of 3" in capsys.readouterr().out
