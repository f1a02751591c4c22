"""What is measured before the first trial stands for what a training takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autopeft.backbone.load import Backbone
from autopeft.tasks import TASKS
from autopeft.train import probe as probe_module
from autopeft.train.precision import Plan
from autopeft.train.probe import Probe
from autopeft.train.runner import Runner
from tests.train.toy import encoded

ROWS = 800


@pytest.fixture
def probe(bert: Backbone) -> Probe:
    return Probe(
        bert,
        lambda _: bert,
        encoded(ROWS),
        TASKS.get("text-classification").loss,
        pad_token=0,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(
    ("seconds", "size", "timed"),
    [((1.0, 3.0, 5.0), 8, 3), ((1.0, 3.0, 5.9), 4, 3), ((1.0, 4.0, 0.1), 1, 2)],
)
def test_larger_packs_are_timed_as_long_as_they_pay(
    probe: Probe,
    bert: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    seconds: tuple[float, ...],
    size: int,
    timed: int,
) -> None:
    """On a slow processor a step of eight takes seconds, and there are trials to be trained."""
    steps = iter(seconds)
    monkeypatch.setattr(probe_module, "step_seconds", lambda _: next(steps))
    plan = Plan(dtype="float32", attention="eager", bytes_per_token=1.0)
    assert probe._pack(plan, bert) == size
    assert len(list(steps)) == len(seconds) - timed


def test_memory_of_a_token_is_measured_on_batches_of_many_lengths(
    probe: Probe, bert: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each twice, the longest rows among them, never more than the first batch may hold."""
    seen: list[tuple[int, ...]] = []
    real: Any = Runner.__call__

    def run(runner: Runner, batch: dict[str, torch.Tensor]) -> Any:
        seen.append(tuple(batch["input_ids"].shape))
        return real(runner, batch)

    def most(*work: Callable[[], object]) -> int:
        for each in work:
            each()
        return 7_000

    monkeypatch.setattr(Runner, "__call__", run)
    monkeypatch.setattr(probe, "_most", most)
    lengths = encoded(ROWS).lengths
    rows = min(ROWS, 1024 // int(lengths.max()))
    found = probe._bytes_per_token(bert)
    assert found == 7_000 / (rows * lengths.max())
    assert {shape[0] for shape in seen} == {rows}
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert len({shape[1] for shape in seen}) >= 4
    assert max(shape[1] for shape in seen) == lengths.max()
    assert np.diff([shape[1] for shape in seen]).min() < 0, "mixed, as in training"
