"""Evaluation: independent of batching, in the split's order, without traces in the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autopeft.backbone.load import Backbone
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.train import evaluate
from autopeft.train.batches import collate
from autopeft.train.evaluate import outputs
from autopeft.train.module import training_mode
from autopeft.train.padding import Padding
from tests.train.toy import encoded

CPU = torch.device("cpu")
ROWS = encoded(40)
LORA = Candidate(method="lora", learning_rate=1e-2, epochs=1, knobs={"dropout": 0.1})


@pytest.fixture
def model(bert: Backbone) -> torch.nn.Module:
    return adapt(bert, LORA, seed=0)


def test_rows_come_in_the_order_of_the_split(model: torch.nn.Module) -> None:
    found = outputs(model, ROWS, padding=Padding(0), device=CPU)
    for row in (0, 17, 39):
        batch = collate(ROWS, np.array([row]), Padding(0))
        del batch["targets"]
        with torch.no_grad():
            alone = model(**batch).logits[0].numpy()
        assert np.abs(found[row] - alone).max() < 1e-5
    assert found.dtype == np.float32


@pytest.mark.parametrize("most", [1, 37, 100_000])
def test_outputs_do_not_depend_on_batching(model: torch.nn.Module, most: int) -> None:
    usual = outputs(model, ROWS, padding=Padding(0), device=CPU)
    other = outputs(model, ROWS, padding=Padding(0), device=CPU, max_tokens=most)
    assert np.abs(usual - other).max() < 1e-5


def test_mode_of_every_module_is_restored(model: torch.nn.Module) -> None:
    training_mode(model)
    before = [module.training for module in model.modules()]
    assert any(before)
    once = outputs(model, ROWS, padding=Padding(0), device=CPU)
    again = outputs(model, ROWS, padding=Padding(0), device=CPU)
    assert [module.training for module in model.modules()] == before
    assert np.array_equal(once, again), "dropout was on"


def test_mode_is_restored_when_the_model_fails(model: torch.nn.Module) -> None:
    training_mode(model)
    before = [module.training for module in model.modules()]
    handle = model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyError("x")))
    with pytest.raises(KeyError):
        outputs(model, ROWS, padding=Padding(0), device=CPU)
    handle.remove()
    assert [module.training for module in model.modules()] == before


def short_of_memory(monkeypatch: pytest.MonkeyPatch, error: Exception, most_rows: int) -> list[int]:
    """Let every batch of more than `most_rows` rows run out of memory; return the sizes tried."""
    tried: list[int] = []
    real: Callable[..., Any] = evaluate.collate

    def limited(rows: Any, places: np.ndarray, padding: Padding) -> Any:
        tried.append(len(places))
        if len(places) > most_rows:
            raise error
        return real(rows, places, padding)

    monkeypatch.setattr(evaluate, "collate", limited)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_batches_are_halved_while_memory_runs_out(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    usual = outputs(model, ROWS, padding=Padding(0), device=CPU)
    tried = short_of_memory(monkeypatch, error, most_rows=5)
    found = outputs(model, ROWS, padding=Padding(0), device=CPU)
    assert np.abs(found - usual).max() < 1e-5
    assert tried[0] == 40


def test_one_row_that_does_not_fit_is_out_of_memory(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = short_of_memory(monkeypatch, MemoryError(), most_rows=0)
    with pytest.raises(MemoryError):
        outputs(model, ROWS, padding=Padding(0), device=CPU)
    assert tried[-1] == 1
    assert len(tried) < 15


def test_other_errors_are_not_taken_for_want_of_memory(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = short_of_memory(monkeypatch, RuntimeError("shapes disagree"), most_rows=5)
    with pytest.raises(RuntimeError, match="shapes disagree"):
        outputs(model, ROWS, padding=Padding(0), device=CPU)
    assert len(tried) == 1
