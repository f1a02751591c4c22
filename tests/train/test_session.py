"""A session: trains on saved splits, answers want of memory, never opens the test split."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import load_from_disk

from autopeft.backbone.share import checksum
from autopeft.errors import TrialError
from autopeft.methods.artifact import load_artifact
from autopeft.records import BackboneShape, Candidate, Cause, Placement, RungPoint
from autopeft.train import attempt, batches
from autopeft.train import evaluate as evaluate_module
from autopeft.train.fit import Watch
from autopeft.train.padding import Padding
from autopeft.train.precision import Plan
from autopeft.train.session import Session, open_session
from tests.train.toy import order, save_splits

LORA = Candidate(method="lora", learning_rate=1e-2, epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def opened(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Session, dict[str, Any]]:
    data = save_splits(tmp_path_factory.mktemp("data"))
    return open_session(order(data, tiny_folder("bert")))


@pytest.fixture
def made(opened: tuple[Session, dict[str, Any]]) -> Session:
    return opened[0]


def run(made: Session, artifact: Path, candidate: Candidate = LORA, **options: Any) -> Any:
    options = {"seed": 0, **options}
    return made.trial(candidate, artifact=artifact, **options)


def test_what_the_supervisor_is_told_is_plain_json(opened: tuple[Session, Any]) -> None:
    made, about = opened
    again = json.loads(json.dumps(about))
    assert BackboneShape.from_json(again.pop("shape")) == made.delivered.shape
    assert again == {name: value for name, value in about.items() if name != "shape"}
    assert about["rows"] == [48, 24]
    assert about["plan"]["dtype"] == "float32"
    assert about["longest"] <= 10
    assert about["max_length"] == 32
    assert about["shape"]["architecture"] == "bert"


def test_trial_returns_plain_json(made: Session, tmp_path: Path) -> None:
    outcome = run(made, tmp_path)
    assert json.loads(json.dumps(outcome)) == outcome
    assert not outcome["stopped"]
    assert set(outcome["metrics"]) == set(made.task.metrics)
    assert outcome["score"] == outcome["metrics"]["accuracy"]
    assert outcome["train_examples"] == 3 * 48
    costs = outcome["costs"]
    assert costs["trainable_params"] == 2 * 2 * 8 * (32 + 32)
    assert costs["head_params"] == 32 * 2 + 2
    assert costs["artifact_bytes"] == sum(f.stat().st_size for f in tmp_path.glob("*.safetensors"))
    assert costs["latency_seconds"] > 0


def test_what_a_row_takes_is_told_where_it_went_through_all_layers(
    made: Session, tmp_path: Path
) -> None:
    assert 0 < run(made, tmp_path / "lora")["scoring_seconds"] < 1
    top = dataclasses.replace(LORA, placement=Placement(sites=("attn.q",), layers="top:1"))
    assert "scoring_seconds" not in run(made, tmp_path / "top", top)


def test_score_is_of_the_artifact_as_it_will_be_delivered(made: Session, tmp_path: Path) -> None:
    outcome = run(made, tmp_path)
    values = made.outputs(load_artifact(made.delivered, tmp_path), made.selection)
    assert np.abs(values - np.load(tmp_path / "selection.npy")).max() < 1e-6
    assert made.scores(values, made.selection.targets) == outcome["metrics"]
    best = max(point["score"] for point in outcome["curve"])
    assert outcome["score"] >= best - 1e-9


def test_same_seed_gives_the_same_trial_and_another_does_not(made: Session, tmp_path: Path) -> None:
    outputs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(made, tmp_path / name, seed=seed)
        outputs.append(np.load(tmp_path / name / "selection.npy"))
    assert np.array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_trials_leave_the_backbone_as_it_was(made: Session, tmp_path: Path) -> None:
    before = checksum(made.delivered.model), checksum(made.backbone.model)
    for method in ("full", "bitfit", "lora"):
        run(made, tmp_path / method, dataclasses.replace(LORA, method=method))
    assert (checksum(made.delivered.model), checksum(made.backbone.model)) == before


def test_low_precision_trains_and_is_delivered_over_the_checkpoints_own(
    made: Session, tmp_path: Path
) -> None:
    low = Session(
        dataclasses.replace(made.setting, plan=Plan(dtype="bfloat16", attention="eager").to_json())
    )
    for method in ("lora", "full"):
        outcome = run(low, tmp_path / method, dataclasses.replace(LORA, method=method))
        values = made.outputs(load_artifact(made.delivered, tmp_path / method), made.selection)
        assert np.abs(values - np.load(tmp_path / method / "selection.npy")).max() < 1e-6
        assert outcome["score"] == outcome["metrics"]["accuracy"]
    assert {p.dtype for p in low.backbone.model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in low.delivered.model.parameters()} == {torch.float32}


def test_as_trained_the_outputs_are_those_over_the_backbone_of_the_training(
    made: Session, tmp_path: Path
) -> None:
    plan = Plan(dtype="bfloat16", attention="eager").to_json()
    some = dataclasses.replace(made.setting, plan=plan)
    outputs = {}
    for as_trained in (True, False):
        session = Session(dataclasses.replace(some, as_trained=as_trained))
        for method in ("lora", "full"):
            folder = tmp_path / f"{method} {as_trained}"
            run(session, folder, dataclasses.replace(LORA, method=method))
            outputs[method, as_trained] = np.load(folder / "selection.npy")
    apart = np.abs(outputs["lora", True] - outputs["lora", False]).max()
    assert 0 < apart < 0.05, "as far apart as the rounding of 16 bit"
    assert np.array_equal(outputs["full", True], outputs["full", False])


def test_stopped_trial_writes_nothing(made: Session, tmp_path: Path) -> None:
    seen: list[RungPoint] = []
    watch = Watch(on_rung=lambda points: seen.append(points[0]) or ())
    outcome = run(made, tmp_path / "artifact", watch=watch, rungs=(0.3, 1.0))
    assert outcome["stopped"]
    assert [dataclasses.asdict(point) for point in seen] == outcome["curve"]
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("keep", [False, True])
def test_trial_cut_by_the_clock_is_kept_only_on_request(
    made: Session, tmp_path: Path, keep: bool
) -> None:
    outcome = run(made, tmp_path / "artifact", deadline=0.0, keep=keep)
    assert outcome["stopped"] is not keep
    assert outcome["message"] == "cut at 6% by the time limit"
    assert outcome["cut_share"] == pytest.approx(1 / 18, abs=0.01)
    assert (tmp_path / "artifact" / "adapter_model.safetensors").is_file() is keep


def test_what_was_cut_before_it_could_tell_the_rows_apart_has_not_failed(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "is_constant", lambda _: True)
    outcome = run(made, tmp_path / "cut", deadline=0.0, keep=True)
    assert outcome["stopped"]
    assert outcome["cut_share"] is not None
    with pytest.raises(TrialError, match="same for every selection row"):
        run(made, tmp_path / "whole", keep=True)


def test_scores_keep_the_metrics_sign(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    setting = order(
        save_splits(tmp_path / "d", numbers=(0.0, 1.0)), tiny_folder("bert"), numeric=True
    )
    made = open_session(setting)[0]
    seen: list[float] = []
    watch = Watch(on_rung=lambda points: seen.append(points[0].score) or points)
    outcome = run(made, tmp_path / "a", watch=watch)
    assert outcome["score"] > 0
    assert seen == [point["score"] for point in outcome["curve"]]
    assert seen[0] > 0
    assert outcome["score"] == pytest.approx(outcome["metrics"]["rmse"])


def limit_rows(
    monkeypatch: pytest.MonkeyPatch, module: Any, most: int, error: Exception
) -> list[int]:
    """Let `module` run out of memory on batches of more than `most` rows."""
    tried: list[int] = []
    real = batches.collate

    def limited(encoded: Any, rows: np.ndarray, padding: Padding) -> Any:
        tried.append(len(rows))
        if len(rows) > most:
            raise error
        return real(encoded, rows, padding)

    monkeypatch.setattr(module, "collate", limited)
    return tried


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_want_of_memory_in_training_halves_the_batch_and_changes_nothing_else(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    usual = run(made, tmp_path / "usual")
    tried = limit_rows(monkeypatch, batches, 3, error)
    outcome = run(made, tmp_path / "short")
    assert outcome["message"] == "batches in 4 parts, for memory"
    assert [size for size in tried if size > 3] == [8, 4]
    values = [np.load(tmp_path / name / "selection.npy") for name in ("usual", "short")]
    assert np.abs(values[0] - values[1]).max() < 1e-2
    assert outcome["train_examples"] == usual["train_examples"]


def test_want_of_memory_that_halving_cannot_help_ends_the_trial(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = limit_rows(monkeypatch, batches, 0, MemoryError("no more\nat all"))
    with pytest.raises(TrialError, match=r"^no more$") as caught:
        run(made, tmp_path)
    assert caught.value.cause == Cause.OUT_OF_MEMORY
    assert tried == [8, 4, 2, 1]


def test_want_of_memory_without_a_word_is_told_all_the_same(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_rows(monkeypatch, batches, 0, MemoryError())
    with pytest.raises(TrialError, match="MemoryError"):
        run(made, tmp_path)


def test_want_of_memory_in_evaluation_halves_its_batches(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    tried = limit_rows(monkeypatch, evaluate_module, 7, error)
    outcome = run(made, tmp_path)
    assert outcome["message"] == "", "training had memory enough"
    assert max(tried) == 24
    assert outcome["score"] is not None


def test_want_of_memory_in_evaluation_that_halving_cannot_help_ends_the_trial(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = limit_rows(monkeypatch, evaluate_module, 0, MemoryError("no more"))
    with pytest.raises(TrialError) as caught:
        run(made, tmp_path)
    assert caught.value.cause == Cause.OUT_OF_MEMORY
    assert len(tried) < 60


def test_want_of_memory_in_loading_ends_the_trial(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def adapt(*_: object, **__: object) -> None:
        calls.append(1)
        raise MemoryError("the backbone does not fit")

    monkeypatch.setattr(attempt, "adapt", adapt)
    with pytest.raises(TrialError, match="does not fit") as caught:
        run(made, tmp_path)
    assert caught.value.cause == Cause.OUT_OF_MEMORY
    assert len(calls) == 4


def test_bug_is_not_taken_for_want_of_memory(
    made: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_rows(monkeypatch, batches, 0, RuntimeError("shapes disagree"))
    with pytest.raises(TrialError, match="RuntimeError: shapes disagree") as caught:
        run(made, tmp_path)
    assert caught.value.cause == Cause.BUG


def test_constant_predictions_are_a_failure_of_their_own(made: Session, tmp_path: Path) -> None:
    made.delivered.model.classifier.weight.data.zero_()  # type: ignore[union-attr]
    one_class = [row for row in range(48) if row % 2]
    biased = dataclasses.replace(
        made.train,
        input_ids=[made.train.input_ids[row] for row in one_class],
        token_type_ids=[made.train.token_type_ids[row] for row in one_class],  # type: ignore[index]
        targets=made.train.targets[one_class],
        lengths=made.train.lengths[one_class],
    )
    whole, made.train = made.train, biased
    try:
        with pytest.raises(TrialError, match="same for every selection row") as caught:
            run(made, tmp_path, dataclasses.replace(LORA, learning_rate=0.05, epochs=5))
    finally:
        made.train = whole
    assert caught.value.cause == Cause.CONSTANT


def test_plan_is_measured_where_none_is_given(made: Session) -> None:
    setting = dataclasses.replace(made.setting, plan=None)
    measured = Session(setting)
    assert measured.plan.seconds_per_step is not None
    assert measured.plan.seconds_per_step > 0
    assert measured.plan.bytes_per_token >= 0


def test_a_gated_training_tells_what_its_gates_say(made: Session, tmp_path: Path) -> None:
    mixture = dataclasses.replace(LORA, method="mixture", knobs={"serial": 3, "lora": 2})
    gates = run(made, tmp_path, mixture)["gates"]
    assert [(gate["layer"], gate["part"]) for gate in gates] == [
        (layer, part) for layer in (0, 1) for part in ("lora_q", "lora_v", "serial")
    ]
    assert all(0 < gate["mean"] < 1 and gate["spread"] > 0 for gate in gates)
    assert run(made, tmp_path / "plain")["gates"] == []


def test_states_for_which_there_is_no_time_are_not_computed(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A pass over all rows cannot be interrupted; without it, the head alone trains as others."""
    plan = dataclasses.asdict(
        Plan(dtype="float32", attention="eager", seconds_per_step=1.0, seconds_per_token=1000.0)
    )
    data = save_splits(tmp_path / "data")
    setting = order(data, tiny_folder("bert")) | {"plan": plan}
    made, _ = open_session(setting)
    head = Candidate(method="head_only", learning_rate=1e-2, epochs=2, batch_size=8)
    frozen = data / "frozen"
    hurried = run(made, tmp_path / "hurried", head, deadline=time.monotonic() + 500.0)
    assert len(list(frozen.iterdir())) == 1, "of the selection rows, which are scored at the end"
    calm = run(made, tmp_path / "calm", head)
    assert len(list(frozen.iterdir())) > 1
    assert hurried["score"] == calm["score"]
    outputs = [np.load(tmp_path / name / "selection.npy") for name in ("hurried", "calm")]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    again = run(made, tmp_path / "again", head, deadline=time.monotonic() + 500.0)
    assert again["score"] == calm["score"]


def test_a_fold_has_its_own_rows_and_the_same_backbone(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = save_splits(tmp_path / "data")
    rows = load_from_disk(str(data / "train"))
    rows.select(range(30)).save_to_disk(str(data / "fold-1" / "train"))
    rows.select(range(30, 48)).save_to_disk(str(data / "fold-1" / "selection"))
    made, _ = open_session(order(data, tiny_folder("bert")))
    assert made.on_fold(0) is made
    other = made.on_fold(1)
    assert made.on_fold(1) is other
    assert (len(made.train), len(other.train)) == (48, 30)
    assert other.delivered is made.delivered and other.backbone is made.backbone
    assert other.plan == made.plan
    other.trial(LORA, seed=1, artifact=tmp_path / "artifact")
    assert len(np.load(tmp_path / "artifact" / "selection.npy")) == 18


@pytest.mark.parametrize("architecture", ["modernbert", "llama"])
def test_rotary_frequencies_stay_exact_in_low_precision(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    made = order(save_splits(tmp_path), tiny_folder(architecture))
    plan = Plan(dtype="bfloat16", attention="eager").to_json()
    low = open_session({**made, "plan": plan})[0]
    exact = dict(low.delivered.model.named_buffers())
    assert any("inv_freq" in name for name in exact)
    for name, buffer in low.backbone.model.named_buffers():
        assert buffer.dtype == exact[name].dtype and torch.equal(buffer, exact[name])
