"""What all contenders are given: the same rows on disk, the same candidates, the same setting."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_from_disk

from autopeft.api.opening import MOST_TOKENS
from autopeft.bench.rows import take
from autopeft.methods import METHODS
from autopeft.records import Candidate, Placement
from autopeft.train.session import Setting
from benchmarks import ledger

BATCH_SIZE = 16
SEEDS = 3
"""Under which searches are compared."""

FILES = {"train": "train", "selection": "validation", "test": "test"}
"""What the file of a split is called."""


def save_splits(
    data: str, model: str, examples: int, seed: int, folder: Path, others: int | None = None
) -> Setting:
    """Write the splits to a folder, as a search does, and return the session's setting.

    Args:
        data: ``demo``, ``demo:bbc``, a file or a folder with a file per split.
        model: folder of the backbone.
        examples: training rows: a stratified sample where there are more.
        seed: of the sample and the splits.
        folder: gets a data set per split.
        others: rows of selection and of test: samples where there are more; None takes all.
    """
    rows = take(Path(data).name, data, examples=examples, selection=others, test=others, seed=seed)
    rows.save(folder)
    return Setting(
        data=str(folder),
        model=model,
        task=rows.problem.task,
        labels=rows.problem.labels,
        metric=rows.problem.metric,
        max_length=MOST_TOKENS,
    )


def lengthened(setting: Setting, words: int, folder: Path) -> Setting:
    """Write the splits again, every text repeated until it has so many words, and more."""

    def repeated(row: dict[str, Any]) -> dict[str, Any]:
        text = row["text"]
        times = -(-words // max(1, len(text.split())))
        return {"text": " ".join([text] * times)}

    for name in ("train", "selection", "test"):
        rows = load_from_disk(str(Path(setting.data) / name))
        rows.map(repeated).save_to_disk(str(folder / name))
    return dataclasses.replace(setting, data=str(folder))


def write_lines(setting: Setting, split: str, file: Path) -> int:
    """Write a split as JSON lines with the names of the classes; return how many rows it has."""
    rows = load_from_disk(str(Path(setting.data) / split))
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            line = {"text": row["text"], "label": setting.labels[row["label"]]}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(rows)


def write_folder(setting: Setting, folder: Path) -> None:
    """Write all splits to a new folder as files that the command line reads."""
    folder.mkdir()
    for split, name in FILES.items():
        write_lines(setting, split, folder / f"{name}.jsonl")


def add_search_options(
    parser: argparse.ArgumentParser, *, tasks: tuple[str, ...], result: Path
) -> None:
    """Add the options of benchmarks that search on several tasks under several seeds.

    Each search is kept as soon as it has ended; see `search_settings`.
    """
    parser.add_argument("--assets", type=Path, required=True, help="folder with a folder per task")
    parser.add_argument("--tasks", default=",".join(tasks))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seconds", type=float, default=600.0, help="that a search has")
    parser.add_argument("--examples", type=int, default=1_000, help="training rows")
    parser.add_argument("--others", type=int, default=500, help="selection rows and test rows")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument(
        "--result", type=Path, default=result, help="file that searches are added to"
    )
    parser.add_argument("--again", action="store_true", help="also those that are there")


def search_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what searches have in common that are told together, `options.peer` included."""
    named = {"model": Path(options.model).name} if options.model else {}
    told = {name: getattr(options, name) for name in ("seconds", "examples", "others", "peer")}
    return named | told


def kept_searches(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what was kept of searches with the same settings, in the order of their ends."""
    settings = search_settings(options)
    return [one for one in ledger.read(options.result) if one["settings"] == settings]


def default_lora(epochs: int) -> Candidate:
    """Return the field's default, LoRA of rank 8 on queries and values, as searches try it."""
    return by_default("lora", epochs)


def serial_adapter(epochs: int, layers: str) -> Candidate:
    """Return an adapter after the feed-forward of some layers.

    Args:
        epochs: passes over the training rows.
        layers: as `autopeft.records.Placement.layers` names them.
    """
    candidate = by_default("pfeiffer", epochs)
    assert candidate.placement is not None
    sites = candidate.placement.sites
    return dataclasses.replace(candidate, placement=Placement(sites=sites, layers=layers))


def with_rates(candidate: Candidate, size: int) -> list[Candidate]:
    """Return so many candidates that differ in learning rate, from their own down to an eighth."""
    rates = np.geomspace(candidate.learning_rate, candidate.learning_rate / 8, size)
    return [dataclasses.replace(candidate, learning_rate=float(rate)) for rate in rates]


def by_default(name: str, epochs: int) -> Candidate:
    """Return a method as its record has it, at the median of its learning rates."""
    method = METHODS.get(name)
    return Candidate(
        method=method.name,
        learning_rate=method.learning_rate.median,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        knobs={name: knob.default for name, knob in method.knobs.items()},
        placement=method.placement,
    )
