"""The trials of one run or several: by score, by another column, on the front only."""

from __future__ import annotations

import pytest

from autopeft.errors import UnknownNameError
from autopeft.records import Candidate, Costs, TrialRecord, TrialState
from autopeft.report.leaderboard import arranged, leaderboard, merged, reading


def record(number: int, score: float | None, params: int = 5, seed: int = 0) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=1),
        seed=seed,
        state=TrialState.FAILED if score is None else TrialState.COMPLETE,
        origin="tpe",
        costs=Costs(trainable_params=params),
        score=score,
    )


def rows(*records: TrialRecord, front: tuple[int, ...] = ()) -> list[dict[str, object]]:
    return leaderboard(records, metric="accuracy", higher_is_better=True, front=front)


def test_further_seeds_of_a_finalist_give_its_mean_and_spread() -> None:
    (row,) = leaderboard(
        [record(3, 0.8)],
        metric="accuracy",
        higher_is_better=True,
        front=[],
        replicates={3: [record(3, 0.6, seed=1), record(3, None, seed=2)]},
    )
    assert (row["score"], row["seeds"], row["mean"]) == (0.8, 2, pytest.approx(0.7))
    assert row["spread"] == pytest.approx(0.02**0.5)


def test_several_runs_are_one_board_and_each_row_says_its_run() -> None:
    boards = {"a": rows(record(0, 0.5), record(1, None)), "b": rows(record(0, 0.9))}
    found = merged(boards, higher_is_better=True)
    assert [(row["run"], row["name"]) for row in found] == [
        ("b", "trial 0"), ("a", "trial 0"), ("a", "trial 1"),
    ]  # fmt: skip
    assert merged({"a": []}, higher_is_better=True) == []
    lower = merged(boards, higher_is_better=False)
    assert [row["run"] for row in lower] == ["a", "b", "a"]


def test_the_front_alone_and_another_order() -> None:
    board = rows(record(0, 0.9, 7), record(1, 0.8, 3), record(2, 0.7, 5), front=(0, 1))
    assert [row["name"] for row in arranged(board, True, "trainable_params")] == [
        "trial 1", "trial 0",
    ]  # fmt: skip
    assert arranged(board, False, None) == board
    largest = arranged(board, False, "trainable_params", descending=True)
    assert [row["name"] for row in largest] == ["trial 0", "trial 2", "trial 1"]
    assert arranged([], True, "anything") == []
    with pytest.raises(UnknownNameError, match=r"--sort.*did you mean 'trainable_params'"):
        arranged(board, False, "trainable_parms")


def test_what_the_scores_are_is_said() -> None:
    (said,) = reading(rows(record(0, 0.5)))
    assert said.startswith("Scores are accuracy of the selection split")
    assert reading([]) == ["Nothing to show."]
