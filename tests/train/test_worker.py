"""The training process's side of the conversation, over a channel made of lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopeft.records import BackboneShape, Candidate
from autopeft.train import worker
from autopeft.train.worker import work
from tests.channel import replies_to
from tests.train.toy import order, save_splits

LORA = Candidate(method="lora", learning_rate=1e-2, epochs=2, batch_size=8)


def served(*orders: dict[str, Any]) -> list[dict[str, Any]]:
    return replies_to(work, *orders)


def train(artifact: Path, **changes: Any) -> dict[str, Any]:
    return {
        "op": "train",
        "seed": 2,
        "fold": 0,
        "rungs": changes.pop("rungs", [0.5, 1.0]),
        "jobs": [job(artifact, **changes)],
    }


def job(artifact: Path, **changes: Any) -> dict[str, Any]:
    return {
        "number": 4,
        "candidate": LORA.to_json(),
        "artifact": str(artifact),
        "limit_seconds": None,
        "keep": False,
        **changes,
    }


@pytest.fixture
def opening(tiny_folder: Callable[[str], Path], tmp_path: Path) -> dict[str, Any]:
    return order(save_splits(tmp_path / "data"), tiny_folder("bert"))


GO, STOP = {"op": "go_on", "numbers": [4]}, {"op": "go_on", "numbers": []}


def test_opens_and_trains(
    opening: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PROGRESS_SECONDS", 0.0)
    replies = served(opening, train(tmp_path / "a"), GO, GO)
    kinds = [reply["kind"] for reply in replies]
    assert kinds[0] == "ready"
    assert BackboneShape.from_json(replies[0]["shape"]).layers == 2
    assert replies[0]["ready_seconds"] > 0
    assert [kind for kind in kinds if kind != "progress"] == [
        "ready",
        "rung",
        "rung",
        "finished",
        "free",
    ]
    finished = replies[-2]
    assert finished["number"] == 4
    told = [reply["trials"] for reply in replies if reply["kind"] == "progress"]
    assert [one["number"] for (one,) in told] == [4] * 12
    assert [one["share"] for (one,) in told] == pytest.approx([s / 12 for s in range(1, 13)])
    assert finished["score"] == finished["metrics"]["accuracy"]
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


def test_progress_is_not_reported_faster_than_it_can_be_shown(
    opening: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PROGRESS_SECONDS", 3600.0)
    monkeypatch.setattr(worker.time, "monotonic", lambda: 10_000.0)
    replies = served(opening, train(tmp_path / "a"), GO, GO)
    assert sum(reply["kind"] == "progress" for reply in replies) == 1


def test_rung_that_is_refused_ends_the_training(opening: dict[str, Any], tmp_path: Path) -> None:
    last = served(opening, train(tmp_path / "a"), STOP)[-2]
    assert last["kind"] == "finished"
    assert last["stopped"]


def test_trainings_follow_each_other_after_a_failure(
    opening: dict[str, Any], tmp_path: Path
) -> None:
    broken = train(tmp_path / "a", candidate={**LORA.to_json(), "learning_rate": 1e30})
    replies = served(opening, broken, train(tmp_path / "b", rungs=[1.0]), GO)
    ends = [reply for reply in replies if reply["kind"] in ("failed", "finished")]
    assert [(end["kind"], end.get("cause")) for end in ends] == [
        ("failed", "non-finite-loss"),
        ("finished", None),
    ]


def test_bug_is_told_as_one_with_its_traceback_in_the_log(
    opening: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = train(tmp_path / "a", candidate={**LORA.to_json(), "knobs": {"rank": 3}})
    last = served(opening, wrong)[-2]
    assert (last["kind"], last["cause"]) == ("failed", "bug")
    assert last["message"].startswith("ConfigError: lora has no knob 'rank'")
    assert "Traceback" in capsys.readouterr().err


def test_time_limit_counts_from_the_order(opening: dict[str, Any], tmp_path: Path) -> None:
    last = served(opening, train(tmp_path / "a", limit_seconds=0.0, keep=True))[-2]
    assert last["kind"] == "finished"
    assert "by the time limit" in last["message"]


def test_session_that_cannot_be_opened_is_refused_by_name(
    opening: dict[str, Any], tmp_path: Path
) -> None:
    (reply,) = served({**opening, "model": str(tmp_path / "nowhere")})
    assert (reply["kind"], reply["error"]) == ("refused", "ModelError")
    assert "nowhere" in reply["message"]


def test_pack_is_told_of_by_number_and_each_ends_on_its_own(
    opening: dict[str, Any], tmp_path: Path
) -> None:
    """One is stopped, one has a fault, one comes to its end."""
    order = train(tmp_path / "a")
    order["jobs"] += [
        job(tmp_path / "b", number=7, candidate={**LORA.to_json(), "method": "houlsby"}),
        job(tmp_path / "c", number=9, candidate={**LORA.to_json(), "knobs": {"rank": 3}}),
        job(tmp_path / "d", number=11, candidate={**LORA.to_json(), "method": "full"}),
    ]
    answer = {"op": "go_on", "numbers": [7]}
    replies = served(opening, order, *[answer] * 3)
    ends = {r["number"]: r for r in replies if r["kind"] in ("finished", "failed")}
    assert ends.keys() == {4, 7, 9, 11}
    assert ends[4]["stopped"]
    assert not ends[7]["stopped"]
    assert ends[9]["cause"] == "bug"
    assert replies[-1] == {"kind": "free"}
    assert (tmp_path / "b" / "adapter_model.safetensors").is_file()
