"""The training of one candidate, from an adapted model to its best weights."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lightning as pl
import numpy as np
import torch

from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.adapt import trainable_state
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.train.batches import TrainingBatches
from autopeft.train.evaluate import outputs
from autopeft.train.module import CandidateModule, training_mode

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

Score = Callable[[np.ndarray], float]
"""From outputs (N, C) on the selection split, a number where higher is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the caller wants to know and decide while a candidate trains.

    Args:
        rungs: shares of the training at which `on_rung` is asked.
        on_rung: gets a point, returns whether to go on.
        on_step: gets optimizer steps done, of all, and examples per second so far.
        deadline: `time.monotonic` at which the training is cut short; None for never.
    """

    rungs: tuple[float, ...] = (1.0,)
    on_rung: Callable[[RungPoint], bool] = lambda _: True
    on_step: Callable[[int, int, float], None] = lambda *_: None
    deadline: float | None = None


@dataclass(slots=True)
class Fit:
    """What came of a training.

    Attributes:
        stopped: whether a rung ended it.
        cut_share: share of the steps done when the deadline cut it short, else None.
        curve: a point per rung reached.
        score: of the best weights, higher is better.
        weights: the best weights, on the CPU.
        train_seconds: of the training, evaluation included.
        train_examples: how many examples were trained on, repeats counted.
    """

    stopped: bool = False
    cut_share: float | None = None
    curve: list[RungPoint] = field(default_factory=list)
    score: float = float("-inf")
    weights: dict[str, torch.Tensor] | None = None
    train_seconds: float = 0.0
    train_examples: int = 0


def fit(
    model: torch.nn.Module,
    candidate: Candidate,
    *,
    batches: TrainingBatches,
    selection: Encoded,
    score: Score,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: torch.device,
    pad_token: int,
    autocast: torch.dtype | None,
    watch: Watch,
) -> Fit:
    """Train `model` in place and return the best weights it passed through.

    Raises:
        TrialError: the loss or an output stopped being finite.
    """
    info = METHODS.get(candidate.method)
    total_steps = batches.steps * candidate.epochs
    module = CandidateModule(
        model,
        candidate,
        loss=loss,
        total_steps=total_steps,
        autocast=autocast,
        after_step=info.after_step,
        penalty=info.penalty,
    )

    def evaluate() -> float:
        values = outputs(model, selection, pad_token=pad_token, device=device)
        if not np.isfinite(values).all():
            raise TrialError(Cause.NON_FINITE, "its outputs are not finite numbers")
        return score(values)

    result = Fit()
    watcher = _Watcher(
        result,
        watch,
        evaluate=evaluate,
        steps_per_epoch=batches.steps,
        total_steps=total_steps,
        batch_size=candidate.batch_size,
    )
    _trainer(watcher, device, total_steps).fit(module, train_dataloaders=batches)
    return result


def _trainer(watcher: pl.Callback, device: torch.device, steps: int) -> pl.Trainer:
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1,
        max_steps=steps,
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
    """Evaluates at epoch ends and rungs, keeps the best weights, asks whether to go on."""

    def __init__(
        self,
        result: Fit,
        watch: Watch,
        *,
        evaluate: Callable[[], float],
        steps_per_epoch: int,
        total_steps: int,
        batch_size: int,
    ) -> None:
        self._result, self._watch, self._evaluate = result, watch, evaluate
        self._total_steps, self._batch_size = total_steps, batch_size
        self._rungs = {max(1, round(share * total_steps)): share for share in watch.rungs}
        epochs = range(steps_per_epoch, total_steps + 1, steps_per_epoch)
        self._evaluations = {*epochs, *self._rungs}
        self._started = time.monotonic()
        self._steps_seen = 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: object) -> None:
        step = trainer.global_step
        if step == self._steps_seen:
            return
        self._steps_seen = step
        seconds = time.monotonic() - self._started
        self._result.train_seconds = seconds
        self._result.train_examples = step * self._batch_size
        self._watch.on_step(step, self._total_steps, step * self._batch_size / max(seconds, 1e-9))
        late = self._watch.deadline is not None and time.monotonic() > self._watch.deadline
        if step in self._evaluations or (late and self._result.weights is None):
            self._evaluate_at(step, trainer, module.model)
        if late and step < self._total_steps:
            self._result.cut_share = step / self._total_steps
            trainer.should_stop = True

    def _evaluate_at(self, step: int, trainer: pl.Trainer, model: torch.nn.Module) -> None:
        score = self._evaluate()
        if not np.isfinite(score):
            raise TrialError(Cause.NON_FINITE, f"the score became {score} at step {step}")
        if score > self._result.score:
            self._result.score, self._result.weights = score, trainable_state(model)
        training_mode(model)
        self._result.train_seconds = time.monotonic() - self._started
        if step in self._rungs:
            share = self._rungs[step]
            point = RungPoint(
                rung=self._watch.rungs.index(share),
                share=share,
                score=score,
                wall_seconds=self._result.train_seconds,
            )
            self._result.curve.append(point)
            if not self._watch.on_rung(point) and step < self._total_steps:
                self._result.stopped = True
                trainer.should_stop = True
