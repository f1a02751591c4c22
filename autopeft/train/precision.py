"""What trains fastest here: which precision, attention, pack size and number of threads.

Low precision pays only where there are units for it, and the fused attention's backward pass is
slow on CPUs; so a few training steps are timed under each plan. On a processor, plain fp32 is kept
unless another plan is clearly faster. Where it only emulates low precision, one step would take a
hundred times as long, so a small matrix product is timed first.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

_WORTHWHILE = 1.15
_FIRST_STEP = 1.5  # times the next ones, at most
_SECONDS_PER_PLAN = 0.2
_SMALL_WIDTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How candidates are trained on this machine.

    Args:
        dtype: of the frozen backbone, ``"float32"`` or ``"bfloat16"``; trained parameters and the
            optimizer are always float32.
        attention: transformers' attention implementation.
        seconds_per_step: measured time of one step of 16 rows.
        seconds_per_token: measured time of scoring, per padded token.
        pack: how many candidates train in one pass, where they can.
        threads: of the processor, where fewer than there are cores are faster.
        bytes_per_token: most memory of training steps, per token of the longest rows' batch.
        evaluation_bytes: most memory of evaluating the longest rows.
    """

    dtype: str
    attention: str
    seconds_per_step: float | None = None
    seconds_per_token: float | None = None
    pack: int = 1
    threads: int | None = None
    bytes_per_token: float = 0.0
    evaluation_bytes: int = 0

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch names it."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def plans(device: torch.device, attentions: tuple[str, ...]) -> tuple[Plan, ...]:
    """Return the plans worth timing on `device`; the first is kept if none is clearly faster.

    Args:
        device: a GPU trains in low precision if it has units for it.
        attentions: the plain one, then the fused one, which a GPU is to prefer: it takes less
            memory.
    """
    low = computes_bfloat16(device)
    if device.type == "cuda":
        dtypes: tuple[str, ...] = ("bfloat16",) if low else ("float32",)
        attentions = attentions[::-1]
    else:
        dtypes = ("float32", "bfloat16") if low else ("float32",)
    return tuple(
        Plan(dtype=dtype, attention=attention) for dtype in dtypes for attention in attentions
    )


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether `device` has units for bfloat16, instead of emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return not emulated(matmul_rates(device, width=_SMALL_WIDTH))


def fastest(candidates: tuple[Plan, ...], step: Callable[[Plan], Callable[[], None]]) -> Plan:
    """Time one training step under every plan and return the best.

    Args:
        candidates: the first is kept unless another is `_WORTHWHILE` times as fast.
        step: prepares a plan and returns the function to time.
    """
    timed = [Plan(**{**p.to_json(), "seconds_per_step": step_seconds(step(p))}) for p in candidates]
    best = min(timed, key=lambda plan: plan.seconds_per_step or 0.0)
    baseline, quickest = timed[0].seconds_per_step or 0.0, best.seconds_per_step or 0.0
    return best if quickest * _WORTHWHILE < baseline else timed[0]


def step_seconds(step: Callable[[], None], *, enough: float = 0.0) -> float:
    """Return the median time of a step, the first one left out.

    Args:
        step: to time.
        enough: a first step that takes less settles it, slow as first ones are; seconds.
    """
    first = _seconds(step)
    if first < enough:
        return first
    times: list[float] = []
    while not times or (sum(times) < _SECONDS_PER_PLAN and len(times) < 20):
        times.append(_seconds(step))
    return statistics.median(times)


def clearly_faster(step: Callable[[], None], than: float) -> float | None:
    """Return the median time of a step if it is clearly below `than`, else None.

    A first step that is far slower settles it at once.
    """
    if _seconds(step) > _FIRST_STEP * than:
        return None
    seconds = step_seconds(step)
    return seconds if seconds * _WORTHWHILE < than else None


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def emulated(rates: Mapping[str, float]) -> bool:
    """Return whether the `matmul_rates` are those of a processor without units for bfloat16."""
    return rates["bfloat16"] < 0.5 * rates["float32"]


def matmul_rates(device: torch.device, width: int = 1024) -> dict[str, float]:
    """Return the floating-point operations per second of a matrix product, by dtype."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))

        def product(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
            left @ right
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        rates[str(dtype).removeprefix("torch.")] = 2 * width**3 / step_seconds(product)
    return rates
