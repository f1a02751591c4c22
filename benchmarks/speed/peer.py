"""The peer: the loop that a practitioner would write, with transformers' Trainer and peft."""

from __future__ import annotations

import tempfile
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
from autopeft.records import Candidate
from autopeft.train.device import default_device
from autopeft.train.precision import computes_bfloat16
from autopeft.train.session import Setting
from benchmarks.speed.contender import Contender, Outcome
from benchmarks.speed.laps import Laps, now

GROUPED = {"train_sampling_strategy": "group_by_length"}
STRONG = {"bf16": True, **GROUPED}
"""What a practitioner who knows the options adds, where bfloat16 is not emulated."""

PROJECTIONS = {"mpnet": ["q", "v"], "distilbert": ["q_lin", "v_lin"]}
"""Names of the projections to queries and values, where they are not ``query`` and ``value``."""

_EVALUATION_BATCH = 64


def practitioner(
    setting: Setting,
    candidate: Candidate,
    *,
    score: bool = False,
    pad_to: int | None = None,
    **options: Any,
) -> Contender:
    """Return transformers' Trainer with peft: fp32, dynamic padding, dropout, last weights.

    Args:
        setting: data and model.
        candidate: LoRA on queries and values of all layers.
        score: whether it is scored on the test split.
        pad_to: length in tokens that every row is padded or cut to; None pads to the batch's
            longest row.
        options: of `TrainingArguments`, besides the plain ones.
    """
    tokenizer = AutoTokenizer.from_pretrained(setting.model)
    longest = setting.max_length if pad_to is None else pad_to
    padding = {} if pad_to is None else {"padding": "max_length", "max_length": pad_to}
    splits = {
        split: tokenised(setting, split, tokenizer, longest)
        for split in ("train", "selection", "test")
    }

    def train(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder, quiet():
            laps = Laps()
            began = now()
            model = lora(setting, candidate, seed)
            trainer = Trainer(
                model=model,
                args=arguments(candidate, seed, len(splits["train"]), folder, options),
                train_dataset=splits["train"],
                eval_dataset=splits["selection"],
                data_collator=DataCollatorWithPadding(tokenizer, **padding),
                compute_metrics=accuracy,
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


def strongest() -> dict[str, Any]:
    """Return the options that make the Trainer fast on this machine."""
    return STRONG if computes_bfloat16(default_device()) else GROUPED


def tokenised(setting: Setting, split: str, tokenizer: Any, longest: int) -> Dataset:
    """Return the rows of a split as token numbers, cut at `longest`."""
    rows = load_from_disk(str(Path(setting.data) / split))
    return rows.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=longest),
        batched=True,
        remove_columns=[name for name in rows.column_names if name != "label"],
    )


def lora(setting: Setting, candidate: Candidate, seed: int) -> Any:
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
        target_modules=PROJECTIONS.get(model.config.model_type, ["query", "value"]),
    )
    return get_peft_model(model, config)


def arguments(
    candidate: Candidate, seed: int, rows: int, folder: str, options: dict[str, Any]
) -> TrainingArguments:
    """Return the Trainer's settings for a candidate, an evaluation per epoch among them."""
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


def accuracy(predicted: Any) -> dict[str, float]:
    """Return the share of right classes, as the Trainer wants it."""
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
