"""The contenders: our path for one candidate, and the loop that a practitioner would write."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from autopeft.backbone.quiet import quiet
from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.artifact import load_artifact
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.tasks.encode import encode
from autopeft.train.fit import Watch
from autopeft.train.session import Session, Setting
from benchmarks.speed.laps import Laps, now

STRONG = {"bf16": True, "train_sampling_strategy": "group_by_length"}
"""What a practitioner who knows the options adds."""

_EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One training.

    Args:
        examples: trained on: rows times epochs.
        trained_params: of adapter and head.
        train_seconds: of the training without evaluation.
        evaluation_seconds: of the evaluations on the selection split, one per epoch.
        whole_seconds: from a loaded data set to a saved adapter.
        test_accuracy: None if it was not asked for.
    """

    examples: int
    trained_params: int
    train_seconds: float
    evaluation_seconds: float
    whole_seconds: float
    test_accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


Contender = Callable[[Candidate, int, bool], Outcome]
"""Trains a candidate with a seed; says whether the test split is scored."""


def ours(session: Session) -> Contender:
    """Return our path: `Session.trial`, with the best epoch's weights."""

    shape, method = session.delivered.shape, METHODS.get("lora")

    def train(candidate: Candidate, seed: int, score: bool) -> Outcome:
        rows = len(session.train)
        adapter_params = method.count(shape, candidate.placement, candidate.knobs)
        with tempfile.TemporaryDirectory() as folder:
            artifact = Path(folder) / "artifact"
            laps = Laps()
            began = now()
            _trial(session, candidate, seed, laps, artifact)
            whole = now() - began
            accuracy = _our_accuracy(session, artifact) if score else None
        return Outcome(
            examples=rows * candidate.epochs,
            trained_params=adapter_params + shape.head_params,
            train_seconds=laps.train_seconds,
            evaluation_seconds=laps.evaluation_seconds,
            whole_seconds=whole,
            test_accuracy=accuracy,
        )

    return train


def _trial(session: Session, candidate: Candidate, seed: int, laps: Laps, artifact: Path) -> None:
    """Train; a model that learnt nothing in its few steps counts here, unlike in a search."""
    shares = tuple((epoch + 1) / candidate.epochs for epoch in range(candidate.epochs))
    watch = _watch(laps, candidate, len(session.train.targets))
    try:
        session.trial(candidate, seed=seed, watch=watch, rungs=shares, artifact=artifact)
    except TrialError as error:
        if error.cause != Cause.CONSTANT:
            raise


def _watch(laps: Laps, candidate: Candidate, rows: int) -> Watch:
    """Return a watch that takes the laps: a rung at the end of every epoch."""
    per_epoch = -(-rows // candidate.batch_size)

    def on_step(shares: Mapping[int, float], examples_per_second: float) -> None:
        step = round(shares[0] * per_epoch * candidate.epochs)
        if step == 1:  # the rate counts from the entry into the training loop
            laps.started = time.monotonic() - candidate.batch_size / examples_per_second
        if step % per_epoch == 0:
            laps.trained.append(now())

    def on_rung(points: Mapping[int, RungPoint]) -> Collection[int]:
        laps.evaluated.append(now())
        return points

    return Watch(on_rung=on_rung, on_step=on_step)


def _our_accuracy(session: Session, artifact: Path) -> float:
    rows = load_from_disk(str(Path(session.setting.data) / "test"))
    encoded = encode(rows, session.delivered.tokenizer, max_length=session.setting.max_length)
    model = load_artifact(session.delivered, artifact).to(session.device)
    return session.scores(session.outputs(model, encoded), encoded.targets)["accuracy"]


def practitioner(setting: Setting, **options: Any) -> Contender:
    """Return transformers' Trainer with peft: fp32, dynamic padding, dropout, last weights.

    Args:
        setting: data and model.
        options: of `TrainingArguments`, besides the plain ones.
    """
    tokenizer = AutoTokenizer.from_pretrained(setting.model)

    def tokenised(split: str) -> Dataset:
        rows = load_from_disk(str(Path(setting.data) / split))
        return rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=setting.max_length),
            batched=True,
            remove_columns=[name for name in rows.column_names if name != "label"],
        )

    splits = {split: tokenised(split) for split in ("train", "selection", "test")}

    def train(candidate: Candidate, seed: int, score: bool) -> Outcome:
        with tempfile.TemporaryDirectory() as folder, quiet():
            laps = Laps()
            began = now()
            model = _lora(setting, candidate, seed)
            trainer = Trainer(
                model=model,
                args=_arguments(candidate, seed, len(splits["train"]), folder, options),
                train_dataset=splits["train"],
                eval_dataset=splits["selection"],
                data_collator=DataCollatorWithPadding(tokenizer),
                compute_metrics=_accuracy,
                callbacks=[_LapTaker(laps)],
            )
            trainer.remove_callback(PrinterCallback)
            laps.started = now()
            trainer.train()
            model.save_pretrained(folder)
            whole = now() - began
            tested = trainer.predict(splits["test"]) if score else None
        return Outcome(
            examples=len(splits["train"]) * candidate.epochs,
            trained_params=sum(p.numel() for p in model.parameters() if p.requires_grad),
            train_seconds=laps.train_seconds,
            evaluation_seconds=laps.evaluation_seconds,
            whole_seconds=whole,
            test_accuracy=None if tested is None else tested.metrics["test_accuracy"],
        )

    return train


def _lora(setting: Setting, candidate: Candidate, seed: int) -> Any:
    """Return the model with LoRA on queries and values, as peft's examples make it."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        setting.model, num_labels=len(setting.labels), dtype=torch.float32
    )
    config = LoraConfig(
        task_type="SEQ_CLS",
        r=int(candidate.knobs["r"]),
        lora_alpha=int(candidate.knobs["alpha"]),
        lora_dropout=float(candidate.knobs["dropout"]),
        target_modules=["query", "value"],
    )
    return get_peft_model(model, config)


def _arguments(
    candidate: Candidate, seed: int, rows: int, folder: str, options: dict[str, Any]
) -> TrainingArguments:
    steps = -(-rows // candidate.batch_size) * candidate.epochs
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=candidate.epochs,
        per_device_train_batch_size=candidate.batch_size,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        learning_rate=candidate.learning_rate,
        weight_decay=candidate.weight_decay,
        lr_scheduler_type="linear",
        warmup_steps=max(1, round(candidate.warmup_ratio * steps)),
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )


def _accuracy(predicted: Any) -> dict[str, float]:
    right = np.asarray(predicted.predictions).argmax(axis=-1) == predicted.label_ids
    return {"accuracy": float(right.mean())}


class _LapTaker(TrainerCallback):
    """Notes when epochs and their evaluations end."""

    def __init__(self, laps: Laps) -> None:
        self._laps = laps

    def on_epoch_end(self, *_: object, **__: object) -> None:
        self._laps.trained.append(now())

    def on_evaluate(self, *_: object, **__: object) -> None:
        if len(self._laps.evaluated) < len(self._laps.trained):
            self._laps.evaluated.append(now())
