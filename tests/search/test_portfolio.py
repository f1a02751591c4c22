"""What was seen on other tasks and the defaults of families take turns, fitted to the space."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from autopeft.records import Candidate, Placement
from autopeft.search.load import load_space
from autopeft.search.other_tasks import Seen
from autopeft.search.portfolio import fitted, hand_made, learnt, portfolio, references
from autopeft.search.space import Space
from tests.search.made_up import backbone

SITES = ("attn.q", "attn.v")
LORA = Candidate(
    method="lora",
    learning_rate=0.004,
    epochs=20,
    knobs={"r": 3, "alpha": 16, "dropout": 0.0, "rslora": False},
    placement=Placement(sites=SITES, layers="top:2"),
)
BITFIT = Candidate(method="bitfit", learning_rate=0.004, epochs=3)


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("default").restrict(shape=backbone())


def seen(*candidates: Candidate) -> list[Seen]:
    """Return that each candidate is the best on a task of its own."""
    return [Seen(candidate=one, gains={f"task {n}": 1.0}) for n, one in enumerate(candidates)]


IN_SPACE = dataclasses.replace(LORA, placement=Placement(sites=SITES, layers="top:3"))


def test_what_covers_most_on_other_tasks_and_defaults_take_turns(space: Space) -> None:
    found = portfolio(space, seen=seen(IN_SPACE, BITFIT))
    defaults = list(hand_made(space))
    assert {one.method for one in found[:4:2]} == {"bitfit", "lora"}
    assert found[1:4:2] == defaults[:2]
    assert {one.fingerprint for one in defaults} <= {one.fingerprint for one in found}
    assert len({one.fingerprint for one in found}) == len(found)


def test_without_other_tasks_every_family_gives_its_first_default(space: Space) -> None:
    found = portfolio(space, seen=[])
    families = [space.methods[one.method].info.family for one in found]
    assert found == list(hand_made(space))
    assert len(set(families)) == len(families) > 5


@pytest.mark.parametrize("own", ["{r: [32, 64]}", "{placement: {layers: 8-10}}", "{alpha: 1}"])
def test_the_default_is_tried_whatever_a_space_makes_of_its_method(
    tmp_path: Path, own: str
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(f"epochs: 3\nmethods:\n  ia3:\n  lora: {own}\n")
    narrow = load_space(str(file)).restrict(shape=backbone(), max_params=10_000)
    default = references(narrow)["default"]
    assert (default.method, default.knobs["r"]) == ("lora", 8)
    assert 0 < narrow.count(default) <= 10_000
    small = narrow.restrict(shape=backbone(), max_params=narrow.count(default) - 1)
    assert [*references(small)] == ["head"]


def test_what_earlier_runs_taught_comes_first_and_once(space: Space) -> None:
    found = portfolio(space, [LORA, BITFIT], seen=seen(BITFIT))
    assert [one.method for one in found[:2]] == ["lora", "bitfit"]
    assert sum(one.method == "bitfit" for one in found) == 1, "what was seen is its default, too"
    rest = portfolio(space, [LORA], seen=[])[1:]
    assert rest == list(hand_made(space))


def test_what_would_sit_elsewhere_in_the_space_says_nothing_of_it(space: Space) -> None:
    assert [one.placement for one in learnt(seen(IN_SPACE), space)] == [IN_SPACE.placement]
    assert learnt(seen(LORA), space) == []


def test_what_is_trained_anyway_is_not_in_a_portfolio(space: Space) -> None:
    default = dataclasses.replace(references(space)["default"], epochs=7)
    assert learnt(seen(default), space) == []
    better = [Seen(candidate=default, gains={"a": 0.9}), Seen(candidate=BITFIT, gains={"a": 0.8})]
    worse = [better[0], dataclasses.replace(better[1], gains={"a": 0.0})]
    assert [one.method for one in learnt(better, space)] == ["bitfit"]
    assert learnt(worse, space) == []


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


def test_methods_that_the_space_lacks_are_left_out(space: Space) -> None:
    narrow = space.restrict(shape=backbone(), methods=("ia3", "lora"))
    assert [one.method for one in fitted([BITFIT, LORA], narrow)] == ["lora"]
    assert portfolio(narrow, seen=seen(BITFIT)) == list(hand_made(narrow))
