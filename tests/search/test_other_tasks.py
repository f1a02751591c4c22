"""What candidates gained on other tasks, and what of them covers most."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.errors import ConfigError
from autopeft.records import Candidate
from autopeft.search.front import Point, area
from autopeft.search.other_tasks import Seen, covering, read, tasks_of

LORA = Candidate(method="lora", learning_rate=0.002, epochs=5)
IA3 = Candidate(method="ia3", learning_rate=0.02, epochs=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = [
        Seen(candidate=LORA, gains={"reviews": 1.0, "news": 0.4}),
        Seen(candidate=IA3, gains={"news": 1.0}),
    ]
    values = {
        "tasks": {"reviews": {"also": ["films"]}, "news": {"also": []}},
        "candidates": [one.to_json() for one in made],
    }
    path = tmp_path / "other_tasks.json"
    path.write_text(json.dumps(values))
    return path


def test_what_is_written_is_read(file: Path) -> None:
    assert [one.candidate for one in read(file)] == [LORA, IA3]
    assert [dict(one.gains) for one in read(file)] == [{"reviews": 1.0, "news": 0.4}, {"news": 1.0}]
    assert tasks_of(file) == {"reviews": "reviews", "films": "reviews", "news": "news"}


@pytest.mark.parametrize("name", ["reviews", "films"])
def test_a_task_can_be_left_out_by_any_of_its_names(file: Path, name: str) -> None:
    assert [dict(one.gains) for one in read(file, [name])] == [{"news": 0.4}, {"news": 1.0}]


def test_an_unknown_task_is_refused_and_no_file_says_nothing(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'revews'; did you mean 'reviews'"):
        read(file, ["revews"])
    assert read(tmp_path / "none.json") == []


def test_what_is_shipped_is_of_several_tasks() -> None:
    tasks = set(tasks_of().values())
    assert len(tasks) >= 6
    assert all(set(one.gains) <= tasks for one in read())
    assert max(max(one.gains.values(), default=0.0) for one in read()) == 1.0


GAINS = st.dictionaries(st.sampled_from("ab"), st.integers(-2, 9).map(lambda n: n / 9), max_size=2)


@given(st.lists(st.tuples(GAINS, st.integers(0, 4)), max_size=6), st.integers(1, 3))
def test_each_next_one_adds_most(drawn: list[tuple[dict[str, float], int]], places: int) -> None:
    gains, sizes = [own for own, _ in drawn], [float(size) for _, size in drawn]
    begun = [0] if drawn else []
    found = covering(gains, sizes, most=4.0, begun=begun, places=places)

    def value(chosen: list[int]) -> float:
        shares = []
        for task in "ab":
            areas = [
                area(
                    [Point(gain=gains[i][task], size=sizes[i]) for i in some if task in gains[i]],
                    floor=0.0,
                    most=4.0,
                )
                for some in (chosen, range(len(gains)))
            ]
            shares.append(areas[0] / areas[1] if areas[1] else 0.0)
        return float(np.sum(shares))

    assert not set(found) & set(begun)
    assert len(set(found)) == len(found) <= places
    for count in range(len(found)):
        before = [*begun, *found[:count]]
        others = [value([*before, i]) for i in range(len(gains))]
        assert value([*before, found[count]]) == pytest.approx(max(others))
        assert value([*before, found[count]]) > value(before)
    if drawn and len(found) < places:
        rest = [value([*begun, *found, i]) for i in range(len(gains))]
        assert max(rest) == pytest.approx(value([*begun, *found]))


def test_two_that_are_good_together_go_before_two_that_are_good_alone() -> None:
    gains = [{"a": 1.0, "b": 0.1}, {"a": 0.9, "b": 0.1}, {"a": 0.1, "b": 0.8}]
    assert covering(gains, [1.0, 1.0, 1.0], most=4.0, places=2) == [0, 2]
    assert covering(gains, [1.0, 1.0, 1.0], most=1.0) == []


def test_every_order_of_candidates_covers_as_much() -> None:
    gains = [{"a": 0.3}, {"a": 0.7}, {"a": 1.0}]
    for order in itertools.permutations(range(3)):
        sizes = [float(i) for i in order]
        found = covering([gains[i] for i in order], sizes, most=3.0)
        assert [order[i] for i in found] == [1, 2, 0]
