"""The peer's search: the loop that a practitioner would write around the Trainer, with Optuna.

LoRA's rank, dropout and learning rate and the number of epochs, proposed by TPE, scored on the
selection split after every epoch, losers stopped by the median of the others.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import optuna
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
from benchmarks.speed.peer import STRONG, accuracy, arguments, lora, tokenised

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

    def note(self, seconds: float, score: float) -> None:
        """Keep a score if it is the best."""
        if not self.best or score > self.best[-1][1]:
            self.best.append((seconds, score))

    @property
    def score(self) -> float:
        return self.best[-1][1]


def practitioners_search(setting: Setting, seed: int, seconds: float) -> Progress:
    """Search for so many seconds, and return what was reached when.

    Args:
        setting: data and model; the splits are tokenised before the clock starts.
        seed: of the sampler and the trainings.
        seconds: after which the training in hand is stopped.
    """
    tokenizer = AutoTokenizer.from_pretrained(setting.model)
    splits = {
        split: tokenised(setting, split, tokenizer, setting.max_length)
        for split in ("train", "selection")
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    progress, began = Progress(), time.monotonic()

    def train(trial: optuna.Trial) -> float:
        candidate = _suggested(trial)
        progress.trials += 1
        listener = _Listener(trial, progress, began, seconds)
        with tempfile.TemporaryDirectory() as folder, quiet():
            trainer = Trainer(
                model=lora(setting, candidate, seed),
                args=arguments(candidate, seed, len(splits["train"]), folder, STRONG),
                train_dataset=splits["train"],
                eval_dataset=splits["selection"],
                data_collator=DataCollatorWithPadding(tokenizer),
                compute_metrics=accuracy,
                callbacks=[listener],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        if listener.pruned:
            raise optuna.TrialPruned
        return listener.last

    while time.monotonic() - began < seconds:
        study.optimize(train, n_trials=1)
    return progress


def _suggested(trial: optuna.Trial) -> Candidate:
    rank = trial.suggest_categorical("r", RANKS)
    dropout = trial.suggest_categorical("dropout", (0.0, 0.1))
    return Candidate(
        method="lora",
        learning_rate=trial.suggest_float("learning_rate", *RATES, log=True),
        epochs=trial.suggest_int("epochs", *EPOCHS),
        batch_size=BATCH_SIZE,
        knobs={"r": rank, "alpha": 2 * rank, "dropout": dropout},
    )


class _Listener(TrainerCallback):
    """Notes scores, and stops a training that loses or is out of time."""

    def __init__(
        self, trial: optuna.Trial, progress: Progress, began: float, seconds: float
    ) -> None:
        self._trial, self._progress, self._began, self._seconds = trial, progress, began, seconds
        self.last, self.pruned = 0.0, False

    def on_evaluate(
        self, _args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any
    ) -> None:
        self.last = metrics["eval_accuracy"]
        elapsed = time.monotonic() - self._began
        if elapsed <= self._seconds:
            self._progress.note(elapsed, self.last)
        self._trial.report(self.last, round(state.epoch))
        self.pruned = self._trial.should_prune()
        control.should_training_stop |= self.pruned

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= time.monotonic() - self._began > self._seconds
