"""The Lightning module that trains one candidate, or several in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as pl
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from autopeft.errors import TrialError
from autopeft.records import Cause
from autopeft.train.batches import Batch, on_device
from autopeft.train.member import Member
from autopeft.train.runner import Runner
from autopeft.tuner import PackLayer

_LARGEST_GRADIENT = 1.0
_LOSS_CHECK = 16  # looking at the loss makes a GPU wait, so not at every step


class PackModule(pl.LightningModule):  # type: ignore[misc]
    """Steps every member on its own loss; one pass through the backbone serves all.

    The backbone and the heads stay in evaluation mode, so their dropout is off; dropout of the
    adapter layers is on.

    Args:
        members: with at least one candidate; all see the same batches.
        join: makes what runs some of the members together.
        loss: from logits (B, C) and targets (B,), the mean loss.
        autocast: dtype of `torch.autocast`, or None.

    Attributes:
        active: the members that still train.
        steps: optimizer steps done.
    """

    def __init__(
        self,
        members: Sequence[Member],
        join: Callable[[Sequence[Member]], Runner],
        *,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        autocast: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.models = torch.nn.ModuleList(member.model for member in members)
        self.active, self.steps = list(members), 0
        self._members, self._join = tuple(members), join
        self._loss, self._autocast = loss, autocast
        self._runner: Runner | None = None
        self.automatic_optimization = False  # a batch in parts must weigh as the whole batch

    def runner(self) -> Runner:
        """Return what runs the members that still train."""
        if self._runner is None:
            self._runner = self._join(self.active)
            training_mode(self._runner.model)
            self._runner.hold()
        return self._runner

    def leave(self, member: Member) -> None:
        """Train a member no further; the others go on as if it had never been there."""
        self.active.remove(member)
        self.close()

    def close(self) -> None:
        """Undo what running the members together did to their models."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> list[Batch]:
        """Move the parts of a batch, their row numbers left out."""
        return [on_device(part, device) for part in batch]

    def on_train_epoch_start(self) -> None:
        training_mode(self.runner().model)

    def training_step(self, parts: list[Batch], index: int) -> None:
        """Make one optimizer step of every member on a batch that may come in parts."""
        runner, rows = self.runner(), sum(len(part["targets"]) for part in parts)
        losses = torch.zeros(len(self.active), device=self.device)
        for part in parts:
            weighted = self._losses(runner, part) * (len(part["targets"]) / rows)
            self.manual_backward(weighted.sum())
            losses += weighted.detach()
        self.steps += 1
        if self.device.type == "cpu" or index % _LOSS_CHECK == 0:
            self._check(losses)
        for member in self.active:
            self._update(member)
            member.fit.train_examples += rows

    def _losses(self, runner: Runner, batch: Batch) -> torch.Tensor:
        """Return each member's loss (n,)."""
        with torch.autocast(
            self.device.type,
            self._autocast or torch.bfloat16,
            enabled=self._autocast is not None,
        ):
            logits = runner(batch, "train")
        losses = []
        for member, own in zip(self.active, logits, strict=True):
            loss = self._loss(own.float(), batch["targets"])
            losses.append(loss if member.info.penalty is None else loss + _penalty(member))
        return torch.stack(losses)

    def _update(self, member: Member) -> None:
        place = self._members.index(member)
        optimizer, schedule = _each(self.optimizers())[place], _each(self.lr_schedulers())[place]
        if member.fit.error is None:
            self.clip_gradients(
                optimizer, gradient_clip_val=_LARGEST_GRADIENT, gradient_clip_algorithm="norm"
            )
            optimizer.step()
            schedule.step()
            if member.info.after_step is not None:
                after: Any = member.info.after_step
                after(member.model, self.steps)
        alone = len(self.active) == 1
        optimizer.zero_grad(set_to_none=alone)  # of a pack they are rows, see `Pack.held`

    def _check(self, losses: torch.Tensor) -> None:
        """Mark the members whose loss is no finite number as failed."""
        for member, loss in zip(self.active, losses.tolist(), strict=True):
            if loss != loss or loss in (float("inf"), float("-inf")):
                said = f"the loss became {loss} at step {self.steps}"
                member.fit.error = TrialError(Cause.NON_FINITE, said)

    def configure_optimizers(self) -> Any:
        optimizers = [member.optimizer() for member in self._members]
        schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, member.schedule())
            for optimizer, member in zip(optimizers, self._members, strict=True)
        ]
        return optimizers, [{"scheduler": s, "interval": "step"} for s in schedules]


def _penalty(member: Member) -> torch.Tensor:
    penalty: Any = member.info.penalty
    extra: torch.Tensor = penalty(member.model)
    return extra


def _each(found: Any) -> Sequence[Any]:
    """Return Lightning's optimizers or schedules as a sequence, however many there are."""
    return found if isinstance(found, list) else [found]


def training_mode(model: torch.nn.Module) -> None:
    """Put adapter layers in training mode and everything frozen, and the head, in evaluation."""
    model.eval()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer | PackLayer):
            module.train()
            module.get_base_layer().eval()
