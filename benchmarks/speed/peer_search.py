"""The peer's search: the loop that a practitioner would write around the Trainer, with Optuna.

A habit says what is searched and how; the loop is the same for all. The practitioner's own habit
is `ByHand`: LoRA's rank, dropout and learning rate and the number of epochs, proposed by TPE,
scored on the selection split after every epoch, losers stopped by the median of the others.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)

from autopeft.backbone.quiet import quiet
from autopeft.records import Candidate
from autopeft.train.session import Setting
from benchmarks.speed.material import BATCH_SIZE
from benchmarks.speed.peer import accuracy, arguments, lora, tokenised

RANKS = (2, 4, 8, 16, 32)
EPOCHS = (2, 6)
RATES = (1e-4, 1e-2)


@dataclass(slots=True)
class Progress:
    """The best selection scores so far, each with the seconds it took to reach it.

    Attributes:
        best: (seconds, score), both rising.
        trials: trainings begun.
    """

    best: list[tuple[float, float]] = field(default_factory=list)
    trials: int = 0

    def note(self, seconds: float, score: float) -> bool:
        """Keep a score if it is the best; return whether it is."""
        if self.best and score <= self.best[-1][1]:
            return False
        self.best.append((seconds, score))
        return True

    @property
    def score(self) -> float:
        return self.best[-1][1]


@dataclass(slots=True)
class Kept:
    """What a search would deliver: the best by the selection split, with its weights then.

    Attributes:
        candidate: that was trained.
        weights: of what trains.
    """

    candidate: Candidate | None = None
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Habit(Protocol):
    """What is searched, and how.

    Attributes:
        prunes: whether losers are stopped by the study's pruner.
    """

    prunes: bool

    def study(self, seed: int) -> optuna.Study:
        """Return an empty study."""

    def sampler(self, study: optuna.Study, spent: float) -> optuna.samplers.BaseSampler:
        """Return what proposes once this share of the time is spent."""

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """Return what to train."""

    def build(self, candidate: Candidate, seed: int) -> Any:
        """Return the model to train."""

    def values(self, candidate: Candidate, score: float) -> float | tuple[float, ...]:
        """Return what the study is told."""


class ByHand:
    """LoRA, as most would search it.

    Args:
        setting: names the backbone and the classes.
    """

    prunes = True

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def study(self, seed: int) -> optuna.Study:
        return optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )

    def sampler(self, study: optuna.Study, spent: float) -> optuna.samplers.BaseSampler:
        del spent
        return study.sampler

    def suggest(self, trial: optuna.Trial) -> Candidate:
        rank = trial.suggest_categorical("r", RANKS)
        dropout = trial.suggest_categorical("dropout", (0.0, 0.1))
        return Candidate(
            method="lora",
            learning_rate=trial.suggest_float("learning_rate", *RATES, log=True),
            epochs=trial.suggest_int("epochs", *EPOCHS),
            batch_size=BATCH_SIZE,
            knobs={"r": rank, "alpha": 2 * rank, "dropout": dropout},
        )

    def build(self, candidate: Candidate, seed: int) -> Any:
        return lora(self._setting, candidate, seed)

    def values(self, candidate: Candidate, score: float) -> float:
        del candidate
        return score


class PeerSearch:
    """A search around the Trainer; the splits are tokenised before any clock starts.

    Args:
        setting: data and model.
        habit: what is searched.
        options: of `TrainingArguments`, besides the plain ones.
    """

    def __init__(self, setting: Setting, habit: Habit, options: dict[str, Any]) -> None:
        self._habit, self._options = habit, options
        self._tokenizer = AutoTokenizer.from_pretrained(setting.model)
        self._splits = {
            split: tokenised(setting, split, self._tokenizer, setting.max_length)
            for split in ("train", "selection", "test")
        }

    def run(self, seed: int, seconds: float) -> tuple[Progress, Kept]:
        """Search for so many seconds, and return what was reached when, and what is best.

        Args:
            seed: of the sampler and the trainings.
            seconds: after which the training in hand is stopped.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = self._habit.study(seed)
        progress, kept, began = Progress(), Kept(), time.monotonic()

        def train(trial: optuna.Trial) -> float | tuple[float, ...]:
            candidate = self._habit.suggest(trial)
            progress.trials += 1
            listener = _Listener(
                trial if self._habit.prunes else None, candidate, progress, kept, began, seconds
            )
            with self._trainer(candidate, seed, listener) as trainer:
                trainer.train()
            if listener.pruned:
                raise optuna.TrialPruned
            return self._habit.values(candidate, listener.last)

        while (spent := time.monotonic() - began) < seconds:
            study.sampler = self._habit.sampler(study, spent / seconds)
            study.optimize(train, n_trials=1)
        return progress, kept

    def tested(self, kept: Kept, seed: int) -> dict[str, Any]:
        """Return what is kept with its test accuracy and trained parameters, without the head."""
        assert kept.candidate is not None
        with self._trainer(kept.candidate, seed) as trainer:
            model: Any = trainer.model
            parameters = dict(model.named_parameters())
            with torch.no_grad():
                for name, values in kept.weights.items():
                    parameters[name].copy_(values)
            found = trainer.predict(self._splits["test"])
        return {
            "chosen": kept.candidate.describe(),
            "test": found.metrics["test_accuracy"],
            "trainable_params": sum(
                values.numel()
                for name, values in kept.weights.items()
                if "modules_to_save" not in name
            ),
        }

    @contextmanager
    def _trainer(
        self, candidate: Candidate, seed: int, *listeners: TrainerCallback
    ) -> Iterator[Trainer]:
        train: Dataset = self._splits["train"]
        with tempfile.TemporaryDirectory() as folder, quiet():
            trainer = Trainer(
                model=self._habit.build(candidate, seed),
                args=arguments(candidate, seed, len(train), folder, self._options),
                train_dataset=train,
                eval_dataset=self._splits["selection"],
                data_collator=DataCollatorWithPadding(self._tokenizer),
                compute_metrics=accuracy,
                callbacks=list(listeners),
            )
            trainer.remove_callback(PrinterCallback)
            yield trainer


class _Listener(TrainerCallback):
    """Notes scores, keeps what is best, and stops a training that loses or is out of time."""

    def __init__(
        self,
        trial: optuna.Trial | None,
        candidate: Candidate,
        progress: Progress,
        kept: Kept,
        began: float,
        seconds: float,
    ) -> None:
        self._trial, self._candidate = trial, candidate
        self._progress, self._kept, self._began, self._seconds = progress, kept, began, seconds
        self.last, self.pruned = 0.0, False

    def on_evaluate(
        self,
        _args: Any,
        state: Any,
        control: Any,
        metrics: dict[str, float],
        model: Any,
        **_: Any,
    ) -> None:
        self.last = metrics["eval_accuracy"]
        elapsed = time.monotonic() - self._began
        if elapsed <= self._seconds and self._progress.note(elapsed, self.last):
            self._kept.candidate = self._candidate
            self._kept.weights = {
                name: one.detach().clone()
                for name, one in model.named_parameters()
                if one.requires_grad
            }
        if self._trial is not None:
            self._trial.report(self.last, round(state.epoch))
            self.pruned = self._trial.should_prune()
        control.should_training_stop |= self.pruned

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= time.monotonic() - self._began > self._seconds
