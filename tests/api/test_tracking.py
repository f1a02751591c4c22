"""Trainings in an experiment tracker: a run of its own each, and never at the search's expense."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from autopeft.api import tracking
from autopeft.api.tracking import Tracker, require
from autopeft.config import LOGGERS, SearchConfig
from autopeft.errors import ConfigError
from autopeft.records import Candidate, Cause, Costs, Placement, RungPoint, TrialRecord, TrialState

RECORD = TrialRecord(
    number=3,
    candidate=Candidate(
        method="lora",
        learning_rate=0.002,
        epochs=2,
        knobs={"r": 8},
        placement=Placement(sites=("attn.q", "attn.v")),
    ),
    seed=1,
    state=TrialState.COMPLETE,
    origin="tpe",
    costs=Costs(trainable_params=1234, train_seconds=5.0),
    curve=(
        RungPoint(rung=0, share=0.5, score=0.7, wall_seconds=2.0),
        RungPoint(rung=1, share=1.0, score=0.8, wall_seconds=5.0),
    ),
    score=0.8,
    metrics={"accuracy": 0.8},
)

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trackers' own


def test_tensorboard_shows_curve_score_and_prices(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = Tracker("tensorboard", tmp_path, "accuracy", pytest.fail)
    failed = dataclasses.replace(
        RECORD, number=4, state=TrialState.FAILED, cause=Cause.BUG, curve=(), metrics={}
    )
    for record in (RECORD, failed):
        tracker.record(record)
    runs = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert runs == ["trial-3-seed-1", "trial-4-seed-1"]
    events = EventAccumulator(str(tmp_path / "tensorboard" / runs[0]))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("selection/accuracy")]
    assert curve == [(50, pytest.approx(0.7)), (100, pytest.approx(0.8))]
    assert events.Scalars("final/accuracy")[0].value == pytest.approx(0.8)
    assert events.Scalars("cost/trainable_params")[0].value == 1234


def test_mlflow_has_a_run_per_training(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    tracker = Tracker("mlflow", tmp_path, "accuracy", pytest.fail)
    for seed in (1, 2):
        tracker.record(dataclasses.replace(RECORD, seed=seed))
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in mlflow.search_experiments() if e.name == tmp_path.name]
    runs = mlflow.search_runs([experiment.experiment_id])
    assert sorted(runs["tags.mlflow.runName"]) == ["trial-3-seed-1", "trial-3-seed-2"]
    assert set(runs["metrics.final/accuracy"]) == {0.8}
    assert set(runs["params.method"]) == {"lora"}


def test_wandb_keeps_a_run_per_training_where_there_is_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = Tracker("wandb", tmp_path, "accuracy", pytest.fail)
    for seed in (1, 2):
        tracker.record(dataclasses.replace(RECORD, seed=seed))
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_a_tracker_that_fails_is_told_of_once_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    calls: list[str] = []

    def broken(self: Tracker, name: str) -> None:
        calls.append(name)
        raise OSError("no connection")

    monkeypatch.setattr(Tracker, "_logger", broken)
    tracker = Tracker("mlflow", tmp_path, "accuracy", said.append)
    tracker.record(RECORD)
    tracker.record(RECORD)
    assert said == ["warning: mlflow failed: OSError: no connection"]
    assert calls == ["trial-3-seed-1"]


@pytest.mark.parametrize("kind", LOGGERS)
def test_a_missing_package_is_told_before_anything_is_trained(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=f"pip install {kind}"):
        require(kind)


def test_an_unknown_tracker_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="tensorboard"):
        SearchConfig.build(logger="tensorbord")
    assert set(tracking._PACKAGES) == set(LOGGERS)
