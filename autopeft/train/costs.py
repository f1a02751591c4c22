"""Measured prices: peak memory of a stretch of work, latency of a model."""

from __future__ import annotations

import statistics
import threading
import time
from types import TracebackType

import psutil
import torch

from autopeft.machine import free_memory_bytes
from autopeft.train.batches import Batch, inputs_of

_SAMPLE_SECONDS = 0.02
_LATENCY_REPEATS = 3


class PeakMemory:
    """Peak memory of the enclosed work: device memory on a GPU, resident memory on a CPU.

    Pages of files, such as kept states of frozen layers, do not count: the system can drop them.
    Both can be read while the work goes on.

    Attributes:
        total_bytes: the peak so far of the whole process.
        extra_bytes: the peak so far above the level at the start.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._start_bytes = self._peak_bytes = 0

    @property
    def total_bytes(self) -> int:
        if self._device.type == "cuda" and not self._done.is_set():
            return int(torch.cuda.max_memory_allocated(self._device))
        return self._peak_bytes

    @property
    def extra_bytes(self) -> int:
        return max(0, self.total_bytes - self._start_bytes)

    def __enter__(self) -> PeakMemory:
        self._start_bytes = self._peak_bytes = self._now()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._peak_bytes = self.total_bytes
        self._done.set()
        if self._device.type != "cuda":
            self._sampler.join()

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._peak_bytes = max(self._peak_bytes, self._now())

    def _now(self) -> int:
        if self._device.type == "cuda":
            return used_bytes(self._device)
        memory = self._process.memory_info()
        return int(memory.rss - getattr(memory, "shared", 0))  # where the system tells them apart


def used_bytes(device: torch.device) -> int:
    """Return the memory that this process has on a device: resident memory for the processor."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def free_bytes(device: torch.device) -> int:
    """Return the memory that can still be had on a device: the system's for the processor."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory_bytes()


@torch.inference_mode()
def latency_seconds(model: torch.nn.Module, batch: Batch) -> float:
    """Return the median inference time per example of `batch`."""
    inputs = inputs_of(batch)
    device = next(iter(inputs.values())).device
    times = []
    for _ in range(_LATENCY_REPEATS + 1):
        start = time.perf_counter()
        model(**inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) / len(inputs["input_ids"])
