"""From what the user gave to an opened run: data, task, splits, folder."""

from __future__ import annotations

import importlib.util
import os
import runpy
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from autopeft.config import SearchConfig
from autopeft.data.cache import quiet
from autopeft.data.demo import DEMOS, LONG, demo_model, demo_source
from autopeft.data.folds import folder_of
from autopeft.data.load import load
from autopeft.data.source import Source
from autopeft.errors import ConfigError
from autopeft.machine import cores
from autopeft.methods import METHODS
from autopeft.records import Candidate, fingerprint
from autopeft.report.screen import Screen
from autopeft.search.load import load_space
from autopeft.search.space import Space
from autopeft.store import RunFolder
from autopeft.store.write import disk_errors
from autopeft.tasks.prepare import Prepared, prepare
from autopeft.tasks.problem import infer

DEMO_SECONDS = 180.0
DEMO_TOKENS = 128
MOST_TOKENS = 512
DEVICES = Path("/dev")
WORKER_ENVIRONMENT = {
    "GOMP_SPINCOUNT": "2000",  # threads that spin for long starve each other on a shared machine
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
LAST_OF_A_SPLIT = "dataset_info.json"
"""The file of a saved data set that is written last: where it lacks, the saving was cut."""
PACKAGES = ("autopeft", "torch", "transformers", "peft", "lightning", "optuna", "datasets")


def settle(data: Any, config: SearchConfig) -> SearchConfig:
    """Fill in the model, the space and the limits that depend on the data.

    A demo has its own; the run is otherwise the same as with a user's data.

    Raises:
        ConfigError: no model is given.
    """
    if isinstance(data, str) and data in DEMOS:
        limited = config.time_limit is not None or config.trials is not None
        config = replace(
            config,
            model=config.model or str(demo_model()),
            space=config.space or "quick",
            time_limit=config.time_limit if limited else DEMO_SECONDS,
            max_length=config.max_length or (DEMO_TOKENS if data in LONG else None),
        )
    if config.model is None:
        raise ConfigError("no model is given; name one with --model, such as --model roberta-base")
    return replace(config, space=config.space or "default")


def read(data: Any, config: SearchConfig, screen: Screen) -> tuple[Source, Prepared, Space]:
    """Read and split the data, infer the task, read the space; say every decision.

    Raises:
        UsageError: whatever cannot be used, before anything is trained.
    """
    assert config.space is not None
    space = load_space(config.space)
    for name in config.methods or ():
        METHODS.get(name, where="--methods")
    if isinstance(data, str) and data in DEMOS:
        source = demo_source(data, config.seed)
    else:
        source = load(data)
    for note in source.notes:
        screen.say(f"data    {note}")
    problem = infer(
        source,
        task=config.task,
        text=config.text,
        text_pair=config.text_pair,
        label=config.label,
        metric=config.metric,
    )
    for reason in problem.reasons:
        screen.say(f"task    {reason}")
    prepared = prepare(source, problem, seed=config.seed)
    sizes = [len(prepared.train), len(prepared.selection), len(prepared.test)]
    screen.say("splits  {:,} rows to train, {:,} to select, {:,} to test".format(*sizes))
    for note in prepared.notes:
        screen.say(f"data    {note}")
    return source, prepared, space


def open_folder(
    config: SearchConfig,
    source: Source,
    prepared: Prepared,
    space: Space,
    *,
    model_digest: str,
    earlier: Sequence[Candidate],
) -> RunFolder:
    """Create or resume the run folder and put the splits in it.

    Args:
        config: the settings.
        source: the data.
        prepared: its splits.
        space: that is searched.
        model_digest: of the backbone's files.
        earlier: what earlier runs taught.

    Raises:
        RunFolderError: another run's, in use, or unwritable.
    """
    assert config.model is not None
    identity = {
        **config.identity(),
        "data": source.digest,
        "model": model_digest,
        "space": space.fingerprint,
        "task": prepared.problem.task,
        "metric": prepared.problem.metric,
        "columns": [
            prepared.problem.columns.text,
            prepared.problem.columns.text_pair,
            prepared.problem.columns.label,
        ],
    }
    if len(prepared.folds) > 1:
        identity["folds"] = len(prepared.folds)
    if earlier:
        identity["learn_from"] = fingerprint([one.to_json() for one in earlier])
    path = config.output or Path("runs") / f"{source.name}-{fingerprint(identity)}"
    about = {"model": config.model, "data": source.origin, "versions": versions()}
    folder = RunFolder.open(path, identity=identity, details=about, fork=config.fork)
    data = folder.path / "data"
    splits = {data / "test": prepared.test}
    for number, fold in enumerate(prepared.folds):
        divided = folder_of(data, number)
        splits |= {divided / "train": fold.train, divided / "selection": fold.selection}
    for target, dataset in splits.items():
        if not (target / LAST_OF_A_SPLIT).is_file():
            with quiet(), disk_errors(target):
                dataset.save_to_disk(str(target))
    return folder


def model_name(model: str) -> str:
    """Return a folder as an absolute path, so that it is found from anywhere; else the hub name."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {name: metadata.version(name) for name in PACKAGES}


def environments(workers: int | None) -> list[dict[str, str]]:
    """Return the variables of each worker: one worker per GPU, or one; each sees its own GPU."""
    devices = _gpus()
    count = workers or max(1, len(devices))
    if not devices:
        return [dict(WORKER_ENVIRONMENT) for _ in range(count)]
    return [
        {**WORKER_ENVIRONMENT, "CUDA_VISIBLE_DEVICES": devices[index % len(devices)]}
        for index in range(count)
    ]


def threads(workers: int) -> int:
    """Return how many processor threads each worker may have."""
    return max(1, cores() // workers)


def _gpus() -> list[str]:
    """Return the GPUs that torch can use, by the names that CUDA takes, without loading torch.

    CUDA counts those that are there: in a container that has the fourth alone, it is number 0.
    """
    if not _torch_has_cuda():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(DEVICES.glob("nvidia[0-9]*"))]


def _torch_has_cuda() -> bool:
    """Return whether torch was built for CUDA, as the file that says so tells."""
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    return runpy.run_path(str(Path(torch.origin).with_name("version.py")))["cuda"] is not None
