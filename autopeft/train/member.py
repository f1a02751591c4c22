"""One candidate in training: its model, its random numbers, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch

from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.trained import trainable_state
from autopeft.records import Candidate, Cause, RungPoint

FUSED = ("cpu", "cuda")  # devices with an AdamW that goes once over the memory, in one launch


@dataclass(slots=True)
class Fit:
    """What came of a training.

    Attributes:
        stopped: whether a rung ended it.
        cut_share: share of the steps done when the deadline cut it short, else None.
        error: what made it fail, else None.
        curve: a point per rung reached.
        score: of the best weights, higher is better.
        weights: the best weights, on the model's device.
        train_seconds: of the training, evaluation included; in a pack, its share of the time.
        train_examples: how many examples were trained on, repeats counted.
    """

    stopped: bool = False
    cut_share: float | None = None
    error: TrialError | None = None
    curve: list[RungPoint] = field(default_factory=list)
    score: float = -math.inf
    weights: dict[str, torch.Tensor] | None = None
    train_seconds: float = 0.0
    train_examples: int = 0


class Member:
    """A candidate in training, alone or in a pack.

    Args:
        number: tells the members of a pack apart.
        candidate: gives the training settings.
        model: adapted for the candidate, on its device.
        seed: of its dropout.
        steps_per_epoch: optimizer steps.
        rungs: shares of its training at which it is compared.
        evaluated: epochs, from 1, after which it is evaluated; None for all.
        deadline: `time.monotonic` at which its training is cut short; None for never.
        keep: whether its best weights so far are wanted then.

    Attributes:
        fit: what came of the training so far.
        generator: its own random numbers, so that in a pack it draws what it would draw alone.
        total_steps: optimizer steps of its whole training.
        evaluations: the steps after which it is evaluated: those of epochs, and the rungs.
    """

    def __init__(
        self,
        number: int,
        candidate: Candidate,
        model: torch.nn.Module,
        *,
        seed: int,
        steps_per_epoch: int,
        rungs: Sequence[float] = (1.0,),
        evaluated: Collection[int] | None = None,
        deadline: float | None = None,
        keep: bool = False,
    ) -> None:
        self.number, self.candidate, self.model = number, candidate, model
        self.info = METHODS.get(candidate.method)
        self.deadline, self.keep = deadline, keep
        device = next(model.parameters()).device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.total_steps = steps_per_epoch * candidate.epochs
        self._rungs = {max(1, round(share * self.total_steps)): share for share in rungs}
        self._order = {share: index for index, share in enumerate(rungs)}
        epochs = range(1, candidate.epochs + 1) if evaluated is None else evaluated
        self.evaluations = {*(epoch * steps_per_epoch for epoch in epochs), *self._rungs}
        self.fit = Fit()

    def optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW on what the candidate trains."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        settings = self.candidate
        return torch.optim.AdamW(
            trained,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=trained[0].device.type in FUSED or None,
        )

    def schedule(self) -> Callable[[int], float]:
        """Return the factor of the learning rate by step: linear warm-up, linear decay."""
        total = self.total_steps
        warmup = max(1, round(self.candidate.warmup_ratio * total))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return max(0.0, (total - step) / max(1, total - warmup))

        return factor

    def evaluated(self, score: float, step: int) -> RungPoint | None:
        """Keep a score and, if it is the best, the weights; return the point if it is a rung's.

        Raises:
            TrialError: the score is no finite number.
        """
        if not math.isfinite(score):
            raise TrialError(Cause.NON_FINITE, f"the score became {score} at step {step}")
        if score > self.fit.score:
            self.fit.score, self.fit.weights = score, trainable_state(self.model)
        if step not in self._rungs:
            return None
        share = self._rungs[step]
        point = RungPoint(
            rung=self._order[share], share=share, score=score, wall_seconds=self.fit.train_seconds
        )
        self.fit.curve.append(point)
        return point

    def cut(self, step: int) -> None:
        """End the training here for want of time."""
        self.fit.cut_share = step / self.total_steps
