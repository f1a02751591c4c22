"""The training of a pack of candidates, from adapted models to their best weights."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as pl
import numpy as np
import torch

from autopeft.errors import TrialError
from autopeft.records import Cause, RungPoint
from autopeft.train.batches import TrainingBatches
from autopeft.train.evaluate import pack_outputs
from autopeft.train.member import Member
from autopeft.train.module import PackModule
from autopeft.train.padding import Padding
from autopeft.train.runner import Runner

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

Score = Callable[[np.ndarray], float]
"""From outputs (N, C) on the selection split, a number where higher is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the caller wants to know and decide while candidates train.

    Args:
        on_rung: gets the points of those that are at a rung now, by the number of the member, and
            returns the numbers of those that go on.
        on_step: gets the share of its training that each active member has done, and the examples
            per second so far, an example that serves n members counted n times.
    """

    on_rung: Callable[[Mapping[int, RungPoint]], Collection[int]] = lambda points: points
    on_step: Callable[[Mapping[int, float], float], None] = lambda *_: None


def fit(
    members: Sequence[Member],
    join: Callable[[Sequence[Member]], Runner],
    *,
    batches: TrainingBatches,
    selection: Encoded,
    score: Score,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: torch.device,
    padding: Padding,
    autocast: torch.dtype | None,
    watch: Watch,
    left: Callable[[Member], None] = lambda _: None,
) -> None:
    """Train members in place, together; what came of each is in its `Member.fit`.

    Args:
        members: all see `batches`.
        join: makes what runs some of them in one pass.
        batches: of the training split.
        selection: the split that is evaluated on.
        score: of the outputs on it.
        loss: from logits (B, C) and targets (B,), the mean loss.
        device: where the models live.
        padding: makes rows equally long.
        autocast: dtype of `torch.autocast`, or None.
        watch: who is told, and asked at rungs.
        left: gets each member as soon as it trains no further.
    """
    module = PackModule(members, join, loss=loss, autocast=autocast)

    def outputs(some: Sequence[Member]) -> np.ndarray:
        training = list(some) == module.active
        runner = module.runner() if training else join(some)
        try:
            return pack_outputs(runner, selection, padding=padding, device=device)
        finally:
            if not training:
                runner.close()

    watcher = _Watcher(watch, outputs, score, left)
    epochs = max(member.candidate.epochs for member in members)
    try:
        _trainer(watcher, device, epochs).fit(module, train_dataloaders=batches)
    finally:
        module.close()


def _trainer(watcher: pl.Callback, device: torch.device, epochs: int) -> pl.Trainer:
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1,
        max_epochs=epochs,
        min_epochs=0,
        callbacks=[watcher],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


class _Watcher(pl.Callback):  # type: ignore[misc]
    """After each step: evaluates who is due, asks who goes on, and lets the others leave."""

    def __init__(
        self,
        watch: Watch,
        outputs: Callable[[Sequence[Member]], np.ndarray],
        score: Score,
        left: Callable[[Member], None],
    ) -> None:
        self._watch, self._outputs, self._score, self._left = watch, outputs, score, left
        self._started = self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: object) -> None:
        step, active = module.steps, list(module.active)
        self._share_time(active)
        self._tell(step, active)
        late = [m for m in active if m.deadline is not None and time.monotonic() > m.deadline]
        self._evaluate([m for m in active if _due(m, step, late)], step)
        for member in late:
            if step < member.total_steps and not _over(member):
                member.cut(step)
        for member in active:
            if _over(member) or step >= member.total_steps:
                module.leave(member)
                self._left(member)
        self._last = time.monotonic()  # what leaving took is nobody's training
        trainer.should_stop = not module.active

    def _tell(self, step: int, active: Sequence[Member]) -> None:
        shares = {member.number: step / member.total_steps for member in active}
        done = sum(member.fit.train_examples for member in active)
        self._watch.on_step(shares, done / max(time.monotonic() - self._started, 1e-9))

    def _share_time(self, members: Sequence[Member]) -> None:
        """Count the time since the last call as that of the members, in equal parts."""
        now = time.monotonic()
        for member in members:
            member.fit.train_seconds += (now - self._last) / len(members)
        self._last = now

    def _evaluate(self, due: Sequence[Member], step: int) -> None:
        if not due:
            return
        values = self._outputs(due)
        self._share_time(due)
        points: dict[int, RungPoint] = {}
        for member, own in zip(due, values, strict=True):
            try:
                if not np.isfinite(own).all():
                    raise TrialError(Cause.NON_FINITE, "its outputs are not finite numbers")
                point = member.evaluated(self._score(own), step)
            except TrialError as error:
                member.fit.error = error
            else:
                if point is not None:
                    points[member.number] = point
        going = self._watch.on_rung(points) if points else ()
        for member in due:
            ended = member.number in points and member.number not in going
            member.fit.stopped = ended and step < member.total_steps
        self._last = time.monotonic()


def _due(member: Member, step: int, late: Sequence[Member]) -> bool:
    """Return whether a member is evaluated now; one that is cut short and kept has to be once."""
    if member.fit.error is not None:
        return False
    wanted = member in late and member.keep and member.fit.weights is None
    return step in member.evaluations or wanted


def _over(member: Member) -> bool:
    return member.fit.stopped or member.fit.error is not None or member.fit.cut_share is not None
