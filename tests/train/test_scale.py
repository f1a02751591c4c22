"""Numbers are trained in standard units and delivered in the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopeft.backbone.load import load_backbone
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact
from autopeft.records import Candidate
from autopeft.train.scale import Scale, output_layer
from autopeft.train.session import Session, open_session
from tests.tiny import OF_TEXTS, tiny_model
from tests.train.toy import order, save_splits

NUMBER = {
    "auto_class": "AutoModelForSequenceClassification",
    "model_options": {"num_labels": 1, "problem_type": "regression"},
}
CANDIDATE = Candidate(method="lora", learning_rate=1e-2, epochs=20, batch_size=8)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=2, max_size=30),
    st.booleans(),
)
def test_restore_undoes_shrink(values: list[float], centred: bool) -> None:
    targets = np.array(values)
    scale = Scale.of(targets, centred=centred)
    shrunk = scale.shrink(targets)
    assert shrunk.dtype == np.float32
    assert np.allclose(scale.restore(shrunk), targets, rtol=1e-5, atol=1e-6 * abs(targets).max())
    if targets.std() > 1e-3 * (1 + abs(targets).max()):
        assert shrunk.std() == pytest.approx(1.0, rel=1e-3)
        assert not centred or abs(shrunk.mean()) < 1e-3


def test_constant_targets_are_not_divided_by_nothing() -> None:
    scale = Scale.of(np.full(5, 7.0), centred=True)
    assert (scale.centre, scale.spread) == (7.0, 1.0)


@pytest.mark.parametrize("bias", [True, False])
def test_fold_gives_the_users_units_and_unfold_takes_them_back(bias: bool) -> None:
    layer = torch.nn.Linear(3, 1, bias=bias)
    scale = Scale(centre=5_000.0 if bias else 0.0, spread=900.0)
    inputs = torch.randn(6, 3)
    before = layer(inputs).detach().numpy()
    scale.fold(layer)
    assert np.allclose(layer(inputs).detach().numpy(), scale.restore(before), rtol=1e-5)
    scale.unfold(layer)
    assert np.allclose(layer(inputs).detach().numpy(), before, atol=1e-5)


@pytest.mark.parametrize("architecture", OF_TEXTS)
@pytest.mark.parametrize("method", ["head_only", "full"])
def test_output_layer_is_the_trained_one_that_gives_the_outputs(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    backbone = load_backbone(tiny_folder(architecture), **NUMBER)
    model = adapt(backbone, Candidate(method=method, learning_rate=1.0, epochs=1), seed=0)
    name, layer = output_layer(model, backbone.heads)
    assert layer.weight.requires_grad, name
    ids = {"input_ids": torch.tensor([[2, 7, 9, 3]]), "attention_mask": torch.ones(1, 4).long()}
    with torch.no_grad():
        before = model(**ids).logits
        layer.weight.mul_(3.0)
        if layer.bias is not None:
            layer.bias.mul_(3.0)
        assert torch.allclose(model(**ids).logits, 3.0 * before, atol=1e-5)


def session_on(folder: Path, model: Path, numbers: tuple[float, float]) -> Session:
    return open_session(order(save_splits(folder, numbers=numbers), model, numeric=True))[0]


def trained(session: Session, artifact: Path, candidate: Candidate = CANDIDATE) -> dict[str, float]:
    found = session.trial(candidate, seed=0, artifact=artifact)
    return {**found["metrics"], "curve": found["curve"][-1]["score"]}


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_prices_in_the_thousands_train_and_are_delivered_as_prices(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    session = session_on(tmp_path / "data", tiny_folder(architecture), (5_000.0, 900.0))
    scores = trained(session, tmp_path / "artifact")
    values = session.outputs(
        load_artifact(session.delivered, tmp_path / "artifact"), session.selection
    )
    assert 3_000 < values.mean() < 7_000
    error = np.sqrt(np.mean((values[:, 0] - session.selection.targets) ** 2))
    assert scores["rmse"] == pytest.approx(error, rel=1e-4)
    assert scores["rmse"] < 0.95 * session.selection.targets.std()
    assert np.allclose(np.load(tmp_path / "artifact" / "selection.npy"), values, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(5_000.0, 900.0), (-0.02, 0.001)])
def test_learning_does_not_depend_on_the_unit(
    tiny_folder: Callable[[str], Path], tmp_path: Path, numbers: tuple[float, float]
) -> None:
    plain = session_on(tmp_path / "one", tiny_folder("bert"), (0.0, 1.0))
    other = session_on(tmp_path / "two", tiny_folder("bert"), numbers)
    one, two = trained(plain, tmp_path / "a"), trained(other, tmp_path / "b")
    assert one["pearson"] == pytest.approx(two["pearson"], abs=1e-4)
    assert one["rmse"] == pytest.approx(two["rmse"] / numbers[1], abs=1e-4)
    assert one["curve"] == pytest.approx(two["curve"] / numbers[1], abs=1e-4)


def test_head_that_was_tuned_before_begins_where_it_was(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A checkpoint that already gives prices keeps giving them."""
    first = session_on(tmp_path / "data", tiny_folder("bert"), (5_000.0, 900.0))
    full = dataclasses.replace(CANDIDATE, method="full", learning_rate=1e-3)
    before = trained(first, tmp_path / "tuned", full)
    first.delivered.tokenizer.save_pretrained(tmp_path / "tuned")
    again = open_session(order(tmp_path / "data", tmp_path / "tuned", numeric=True))[0]
    still = dataclasses.replace(CANDIDATE, method="head_only", learning_rate=1e-9, epochs=1)
    assert trained(again, tmp_path / "again", still)["rmse"] == pytest.approx(
        before["rmse"], rel=1e-3
    )


def test_classes_have_no_scale(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    session = open_session(order(save_splits(tmp_path), tiny_folder("bert")))[0]
    assert session.scale == Scale()
    assert session.train.targets.dtype == np.int64


def test_model_folder_of_another_seed_differs(tmp_path: Path) -> None:
    """Guards the toy: two tiny models must not be the same by accident."""
    one, two = (tiny_model("bert", tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert (one / "model.safetensors").read_bytes() != (two / "model.safetensors").read_bytes()
