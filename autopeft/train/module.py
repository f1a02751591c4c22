"""The Lightning module that trains one candidate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as pl
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from autopeft.errors import TrialError
from autopeft.records import Candidate, Cause
from autopeft.train.batches import Batch

Hook = Callable[[torch.nn.Module, int], None]
Penalty = Callable[[torch.nn.Module], torch.Tensor]

_LARGEST_GRADIENT = 1.0
_LOSS_CHECK = 16  # looking at the loss makes a GPU wait, so not at every step


class CandidateModule(pl.LightningModule):  # type: ignore[misc]
    """AdamW on what the candidate trains, with linear warm-up and linear decay.

    The backbone and the head stay in evaluation mode, so their dropout is off; dropout of the
    adapter layers is on.

    Args:
        model: the adapted model.
        candidate: gives the training settings.
        loss: from logits (B, C) and targets (B,), the mean loss.
        total_steps: optimizer steps of the whole training.
        autocast: dtype of `torch.autocast`, or None.
        after_step: called with the model and the number of optimizer steps done.
        penalty: an extra term of the loss.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        candidate: Candidate,
        *,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        total_steps: int,
        autocast: torch.dtype | None = None,
        after_step: Hook | None = None,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._candidate, self._loss, self._total_steps = candidate, loss, total_steps
        self._autocast, self._after_step, self._penalty = autocast, after_step, penalty
        self.automatic_optimization = False  # a batch in parts must weigh as the whole batch

    def on_train_epoch_start(self) -> None:
        training_mode(self.model)

    def training_step(self, parts: list[Batch], index: int) -> None:
        """Make one optimizer step on a batch that may come in parts."""
        optimizer: Any = self.optimizers()
        rows = sum(len(part["targets"]) for part in parts)
        whole = torch.zeros((), device=self.device)
        for part in parts:
            loss = self._loss_of(part) * (len(part["targets"]) / rows)
            self.manual_backward(loss)
            whole += loss.detach()
        if self.device.type == "cpu" or index % _LOSS_CHECK == 0:
            self._check(whole)
        self.clip_gradients(
            optimizer, gradient_clip_val=_LARGEST_GRADIENT, gradient_clip_algorithm="norm"
        )
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()
        if self._after_step is not None:
            self._after_step(self.model, self.global_step)
        optimizer.zero_grad()

    def _loss_of(self, batch: Batch) -> torch.Tensor:
        inputs = {name: value for name, value in batch.items() if name != "targets"}
        with torch.autocast(
            self.device.type,
            self._autocast or torch.bfloat16,
            enabled=self._autocast is not None,
        ):
            logits = self.model(**inputs).logits
        loss = self._loss(logits.float(), batch["targets"])
        return loss if self._penalty is None else loss + self._penalty(self.model)

    def _check(self, loss: torch.Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrialError(
                Cause.NON_FINITE, f"the loss became {loss.item()} at step {self.global_step}"
            )

    def configure_optimizers(self) -> Any:
        settings = self._candidate
        trained = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        warmup = max(1, round(settings.warmup_ratio * self._total_steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _linear(step, warmup, self._total_steps)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def training_mode(model: torch.nn.Module) -> None:
    """Put adapter layers in training mode and everything frozen, and the head, in evaluation."""
    model.eval()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.train()
            module.get_base_layer().eval()


def _linear(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / max(1, total - warmup))
