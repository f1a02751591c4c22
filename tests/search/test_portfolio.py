"""A shipped portfolio is fitted to the space; without one, each family gives a default."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from autopeft.records import Candidate, Placement
from autopeft.search.load import load_space
from autopeft.search.portfolio import fitted, hand_made, portfolio
from autopeft.search.space import Space
from tests.search.made_up import backbone

LORA = Candidate(
    method="lora",
    learning_rate=0.004,
    epochs=20,
    knobs={"r": 3, "alpha": 16, "dropout": 0.0, "rslora": False},
    placement=Placement(sites=("attn.q", "attn.v"), layers="top:2"),
)
BITFIT = Candidate(method="bitfit", learning_rate=0.004, epochs=3)


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("default").restrict(shape=backbone())


def file_of(folder: Path, *candidates: Candidate) -> Path:
    file = folder / "portfolio.json"
    file.write_text(json.dumps({"portfolio": [one.to_json() for one in candidates]}))
    return file


def test_a_shipped_portfolio_is_tried_in_its_order(space: Space, tmp_path: Path) -> None:
    found = portfolio(space, learnt=file_of(tmp_path, BITFIT, LORA))
    assert [one.method for one in found] == ["bitfit", "lora"]


def test_without_one_every_family_gives_its_first_default(space: Space, tmp_path: Path) -> None:
    found = portfolio(space, learnt=tmp_path / "none.json")
    families = [space.methods[one.method].info.family for one in found]
    assert found == list(hand_made(space))
    assert len(set(families)) == len(families) > 5


def test_what_earlier_runs_taught_comes_first_and_once(space: Space, tmp_path: Path) -> None:
    found = portfolio(space, [LORA, BITFIT], learnt=file_of(tmp_path, BITFIT))
    assert [one.method for one in found] == ["lora", "bitfit"]
    rest = portfolio(space, [LORA], learnt=tmp_path / "none.json")[1:]
    assert rest == list(hand_made(space))


def test_what_is_not_in_the_space_becomes_what_is_nearest(space: Space) -> None:
    (one,) = fitted([LORA], space)
    assert one in space
    assert (one.learning_rate, one.epochs) == (0.004, 10)
    assert one.knobs["r"] in (2, 4)


def test_nothing_is_tried_twice_or_over_the_budget(space: Space) -> None:
    twin = dataclasses.replace(LORA, epochs=3)
    assert len(list(fitted([LORA, twin, BITFIT], space))) == 2
    small = space.restrict(shape=backbone(), max_params=space.count(BITFIT) - 1)
    assert all(small.count(one) <= small.max_params for one in fitted([LORA, BITFIT], small))
    assert "bitfit" not in {one.method for one in fitted([LORA, BITFIT], small)}


def test_methods_that_the_space_lacks_are_left_out(space: Space, tmp_path: Path) -> None:
    narrow = space.restrict(shape=backbone(), methods=("ia3", "lora"))
    assert [one.method for one in fitted([BITFIT, LORA], narrow)] == ["lora"]
    assert portfolio(narrow, learnt=file_of(tmp_path, BITFIT)) == list(hand_made(narrow))
