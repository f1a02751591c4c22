"""What both contenders are given: the same rows on disk, the same candidate, the same setting."""

from __future__ import annotations

from pathlib import Path

from autopeft.api.opening import MOST_TOKENS
from autopeft.data.demo import DEMOS, demo_source
from autopeft.data.load import load
from autopeft.data.split import sample
from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.tasks.prepare import prepare
from autopeft.tasks.problem import infer
from autopeft.train.session import Setting

BATCH_SIZE = 16


def save_splits(
    data: str, model: str, examples: int, seed: int, folder: Path, others: int | None = None
) -> Setting:
    """Write the splits to a folder, as a search does, and return the session's setting.

    Args:
        data: ``demo``, ``demo:bbc`` or a file.
        model: folder of the backbone.
        examples: training rows: a stratified sample where there are more.
        seed: of the sample and the splits.
        folder: gets a data set per split.
        others: rows of selection and of test: samples where there are more; None takes all.
    """
    source = demo_source(data, seed) if data in DEMOS else load(data)
    problem = infer(source, task="text-classification")
    prepared = prepare(source, problem, seed=seed)
    sizes = {"train": examples, "selection": others, "test": others}
    for name, size in sizes.items():
        rows = getattr(prepared, name)
        kept = rows if size is None else sample(rows, size, "label", seed)
        kept.save_to_disk(str(folder / name))
    return Setting(
        data=str(folder),
        model=model,
        task=problem.task,
        labels=problem.labels,
        metric="accuracy",
        max_length=MOST_TOKENS,
    )


def default_lora(epochs: int) -> Candidate:
    """Return the field's default, LoRA of rank 8 on queries and values, as searches try it."""
    method = METHODS.get("lora")
    return Candidate(
        method=method.name,
        learning_rate=method.learning_rate.median,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        knobs={name: knob.default for name, knob in method.knobs.items()},
        placement=method.placement,
    )
