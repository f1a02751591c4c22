"""A few training steps before the first trial: the fastest plan, and the memory a token takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autopeft.backbone.load import Backbone
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.train.batches import collate
from autopeft.train.costs import PeakMemory
from autopeft.train.module import training_mode
from autopeft.train.precision import Plan, fastest, plans

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

PROBE_ROWS = 16

ATTENTIONS = ("eager", "sdpa")


class Probe:
    """Makes training steps of default LoRA, or of the head where LoRA cannot run.

    Args:
        backbone_for: from a plan, the backbone that it trains on.
        train: the rows to take the batch from.
        loss: of the task.
        pad_token: fills the padding.
        device: where the model lives.

    Attributes:
        bytes_per_token: most memory of a step, per token of its batch; 0 before `fastest`.
        seconds: spent on measuring.
    """

    def __init__(
        self,
        backbone_for: Callable[[Plan], Backbone],
        train: Encoded,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        pad_token: int,
        device: torch.device,
    ) -> None:
        self._backbone_for, self._loss, self._device = backbone_for, loss, device
        rows = np.linspace(0, len(train.targets) - 1, PROBE_ROWS).astype(int)
        batch = collate(train, rows, pad_token)
        self._batch = {name: value.to(device) for name, value in batch.items()}
        self._targets = self._batch.pop("targets")
        self.bytes_per_token = 0.0
        self.seconds = 0.0

    def fastest(self) -> Plan:
        """Return the plan to train with on this machine."""
        started = time.monotonic()
        plan = fastest(plans(self._device, ATTENTIONS), self._prepared)
        self.seconds = time.monotonic() - started
        return plan

    def _prepared(self, plan: Plan) -> Callable[[], None]:
        backbone = self._backbone_for(plan)
        lora = METHODS.get("lora")
        method = lora if lora.excluded(backbone.shape, 1) is None else METHODS.get("head_only")
        candidate = Candidate(
            method=method.name, learning_rate=1e-4, epochs=1, placement=method.placement
        )
        model = adapt(backbone, candidate, seed=0, total_steps=1).to(self._device)
        training_mode(model)

        def step() -> None:
            with PeakMemory(self._device) as memory:
                loss: Any = self._loss(model(**self._batch).logits.float(), self._targets)
                loss.backward()
                if self._device.type == "cuda":
                    torch.cuda.synchronize()
            tokens = self._batch["input_ids"].numel()
            self.bytes_per_token = max(self.bytes_per_token, memory.extra_bytes / tokens)

        return step
