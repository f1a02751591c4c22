"""What is measured before the first trial stands for what a training takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods.packing import PACK_BYTES
from autopeft.tasks import TASKS
from autopeft.train import probe as probe_module
from autopeft.train.padding import Padding
from autopeft.train.precision import Plan
from autopeft.train.probe import Probe
from autopeft.train.runner import Runner
from tests.tiny import tiny_model
from tests.train.toy import encoded

ROWS = 800


class Threads:
    """Stands for torch's number of threads, and for steps whose time is made up.

    Args:
        alone: seconds of a step of one candidate, by the number of threads.
        pack: by the size of a pack, the same of a step of so many.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, alone: dict[int, float], **pack: dict[int, float]
    ) -> None:
        self.now, self.timed = max(alone), list[tuple[int, int]]()
        self._seconds = {1: alone, **{int(size[1:]): of for size, of in pack.items()}}
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.now)
        monkeypatch.setattr(torch, "set_num_threads", self._set)
        monkeypatch.setattr(Probe, "_step", lambda _, models, *__: len(models))
        monkeypatch.setattr(probe_module, "step_seconds", self._time)
        monkeypatch.setattr(
            probe_module,
            "clearly_faster",
            lambda size, than: s if (s := self._time(size)) * 1.15 < than else None,
        )

    def _set(self, count: int) -> None:
        self.now = count

    def _time(self, size: int, *, enough: float = 0.0) -> float:
        del enough
        self.timed.append((size, self.now))
        return self._seconds[size][self.now]


def made(bert: Backbone) -> Probe:
    return Probe(
        bert,
        lambda _: bert,
        encoded(ROWS),
        TASKS.get("text-classification").loss,
        padding=Padding(0),
        device=torch.device("cpu"),
    )


@pytest.fixture
def probe(bert: Backbone) -> Probe:
    return made(bert)


PLAN = Plan(dtype="float32", attention="eager", bytes_per_token=1.0, seconds_per_step=1.0)


@pytest.mark.parametrize(
    ("two", "four", "eight", "size", "timed"),
    [
        (1.7, 3.0, 5.0, 8, [2, 4, 8]),
        (1.7, 3.0, 5.9, 4, [2, 4, 8]),
        (1.7, 3.4, 0.1, 2, [2, 4]),
        (2.0, 0.1, 0.1, 1, [2]),
    ],
)
def test_larger_packs_are_timed_as_long_as_they_pay(
    bert: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    two: float,
    four: float,
    eight: float,
    size: int,
    timed: list[int],
) -> None:
    """On a slow processor a step of eight takes seconds, and there are trials to be trained."""
    threads = Threads(monkeypatch, {2: 1.0}, p2={2: two}, p4={2: four}, p8={2: eight})
    assert made(bert)._with_pack(PLAN, bert).pack == size
    assert [size for size, _ in threads.timed] == timed


@pytest.mark.parametrize(("fits", "timed"), [(1, []), (2, [2]), (5, [2, 4])])
def test_packs_that_memory_would_not_let_train_are_not_timed(
    bert: Backbone, monkeypatch: pytest.MonkeyPatch, fits: int, timed: list[int]
) -> None:
    threads = Threads(monkeypatch, {2: 1.0}, p2={2: 1.5}, p4={2: 2.0})
    longest = 16 * int(encoded(ROWS).lengths.max())
    plan = dataclasses.replace(PLAN, bytes_per_token=PACK_BYTES / longest / fits)
    assert made(bert)._with_pack(plan, bert).pack == (timed or [1])[-1]
    assert [size for size, _ in threads.timed] == timed


@pytest.mark.parametrize(
    ("seconds", "found", "timed"),
    [
        ({8: 1.0, 4: 1.9}, (None, 1.0), [4]),  # quiet, and enough to do for all
        ({8: 1.0, 4: 0.9}, (None, 1.0), [4]),  # faster, but not clearly
        ({8: 1.0, 4: 0.5, 2: 0.6}, (4, 0.5), [4, 2]),
        ({8: 1.0, 4: 0.5, 2: 0.4, 1: 0.2}, (1, 0.2), [4, 2, 1]),
    ],
)
def test_fewer_threads_are_taken_as_long_as_they_are_clearly_faster(
    bert: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[int, float],
    found: tuple[int | None, float],
    timed: list[int],
) -> None:
    threads = Threads(monkeypatch, seconds)
    taken = made(bert)._with_threads(PLAN, bert)
    assert (taken.threads, taken.seconds_per_step) == found
    assert threads.now == (found[0] or 8)
    assert [count for _, count in threads.timed] == timed


@pytest.mark.parametrize(("all_threads", "found"), [(1.0, None), (1.9, 2)])
def test_pack_takes_all_threads_again_where_it_fills_them(
    bert: Backbone, monkeypatch: pytest.MonkeyPatch, all_threads: float, found: int | None
) -> None:
    threads = Threads(
        monkeypatch, {8: 1.0, 2: 0.9}, p2={2: 1.4}, p4={8: all_threads, 2: 2.0}, p8={2: 9.0}
    )
    probe = made(bert)
    threads.now = 2
    plan = probe._with_pack(dataclasses.replace(PLAN, threads=2), bert)
    assert (plan.pack, plan.threads) == (4, found)
    assert threads.now == (found or 8)


def test_memory_of_a_token_is_measured_on_batches_of_many_lengths(
    probe: Probe, bert: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest rows are among them, never more than the first batch may hold."""
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
    assert len({shape[1] for shape in seen}) >= 4
    assert max(shape[1] for shape in seen) == lengths.max()
    assert np.diff([shape[1] for shape in seen]).min() < 0, "mixed, as in training"


def test_what_trains_alone_is_timed_alone(tmp_path: Path) -> None:
    """As DeBERTa v3 does, whose projections serve the positions too."""
    deberta = load_backbone(
        tiny_model("deberta-v2", tmp_path, share_att_key=True),
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 2},
    )
    plan = made(deberta).fastest()
    assert plan.pack == 1
    assert plan.seconds_per_step is not None and plan.seconds_per_step > 0
    assert plan.seconds_per_token is not None
    assert 0 < plan.seconds_per_token < plan.seconds_per_step
