"""Prices are measured: the peak of memory and the time per example."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from autopeft.train import costs
from autopeft.train.costs import PeakMemory, latency_seconds

CPU = torch.device("cpu")


def test_peak_memory_sees_what_is_given_back_before_the_end() -> None:
    with PeakMemory(CPU) as memory:
        held = bytearray(b"x" * 80_000_000)
        time.sleep(0.2)
        del held
    assert 70_000_000 < memory.extra_bytes < 200_000_000
    assert memory.total_bytes > memory.extra_bytes


def test_pages_of_files_are_no_price(tmp_path: Path) -> None:
    file = tmp_path / "states"
    np.zeros(20_000_000, np.float32).tofile(file)
    with PeakMemory(CPU) as memory:
        mapped = np.memmap(file, np.float32, "r")
        assert mapped.sum() == 0.0
        time.sleep(0.2)
    assert memory.extra_bytes < 40_000_000


def test_peak_memory_of_a_gpu_can_be_read_while_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A member of a pack is told its price when it leaves, the others still being trained."""
    peaks = [3_000]
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peaks[-1])
    with PeakMemory(torch.device("cuda")) as memory:
        assert (memory.total_bytes, memory.extra_bytes) == (3_000, 2_000)
        peaks.append(5_000)
        assert memory.extra_bytes == 4_000
    peaks.append(9_000)  # of the next work
    assert (memory.total_bytes, memory.extra_bytes) == (5_000, 4_000)


def test_peak_memory_ends_its_thread_when_the_work_fails() -> None:
    memory = PeakMemory(CPU)
    with pytest.raises(KeyError), memory:
        raise KeyError
    assert not memory._sampler.is_alive()


def test_latency_is_the_median_per_example(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 9.0, 10.0, 10.4, 20.0, 20.8, 30.0, 36.0])
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(times))
    seen: list[set[str]] = []
    model = torch.nn.Identity()
    model.forward = lambda **inputs: seen.append(set(inputs))  # type: ignore[method-assign]
    batch = {"input_ids": torch.zeros(4, 3), "targets": torch.zeros(4)}
    assert latency_seconds(model, batch) == pytest.approx(0.8 / 4)
    assert seen == [{"input_ids"}] * 4
