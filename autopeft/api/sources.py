"""Source prompts: each trained on a data set of its own and kept, for ATTEMPT to mix.

They lie in ``<folder>/<digest of the model>/``, as ``NAME.safetensors`` with ``NAME.json`` beside
it, which says how it was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.api import opening
from autopeft.backbone.checkpoint import digest
from autopeft.backbone.load import find_folder
from autopeft.config import SearchConfig
from autopeft.data.cache import quiet
from autopeft.deltas.source import PROMPT
from autopeft.errors import ConfigError, IncompatibleMethodError, RunFolderError
from autopeft.methods import METHODS
from autopeft.methods.artifact import ADAPTER_WEIGHTS
from autopeft.methods.prompt import LONGEST_PROMPT
from autopeft.records import Candidate
from autopeft.report.screen import Screen
from autopeft.tasks.prepare import Prepared
from autopeft.temporary import TemporaryFolder

if TYPE_CHECKING:
    from torch import Tensor

    from autopeft.train.fit import Watch

METHOD = "attempt"
"""Without sources it trains a plain prompt, in the place where the mixture will stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """How a source prompt was made.

    Args:
        name: of the prompt.
        file: where it lies.
        model: folder or hub name of the backbone.
        data: where the rows came from.
        task: what was learned.
        metric: of the task.
        score: the metric on the selection split, of the prompt with its head.
        rows: training rows.
        tokens: length of the prompt.
        epochs: passes over the training split.
        learning_rate: peak learning rate.
        seed: of splits, initialisation and data order.
        versions: of the packages.
    """

    name: str
    file: str
    model: str
    data: str
    task: str
    metric: str
    score: float
    rows: int
    tokens: int
    epochs: int
    learning_rate: float
    seed: int
    versions: Mapping[str, str]


def add_source(
    name: str,
    data: Any,
    config: SearchConfig,
    screen: Screen,
    *,
    folder: Path,
    tokens: int,
    epochs: int,
    learning_rate: float | None = None,
) -> SourceRecord:
    """Train a prompt and a head on a data set, and keep the prompt.

    Args:
        name: of the prompt: letters, digits, ``-``, ``_`` and dots.
        data: whatever a search takes.
        config: the model, the task, the columns, the seed and the longest input.
        screen: shows what happens.
        folder: of all source prompts.
        tokens: length of the prompt; prompts that are mixed need one length.
        epochs: passes over the training split.
        learning_rate: peak learning rate; None for the median of the method's prior.

    Raises:
        UsageError: a setting, the data or the model cannot be used, or the name is taken.
        IncompatibleMethodError: the model takes no prompt of this length beside these texts.
        TrialError: the training failed.
    """
    info = METHODS.get(METHOD)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"a name of letters, digits, '-', '_' and dots is needed, not {name!r}")
    if epochs < 1:
        raise ConfigError(f"--epochs {epochs} is below 1")
    if not 1 <= tokens <= LONGEST_PROMPT:
        raise ConfigError(f"--tokens {tokens}; allowed: 1 to {LONGEST_PROMPT}")
    config = opening.settle(data, config)
    assert config.model is not None
    model = opening.model_name(config.model)
    file = folder / digest(find_folder(model)) / f"{name}.safetensors"
    if file.exists():
        raise RunFolderError(f"{file} is there already; choose another name, or remove it")
    source, prepared, _ = opening.read(data, config, screen)
    candidate = Candidate(
        method=METHOD,
        learning_rate=learning_rate or info.learning_rate.median,
        epochs=epochs,
        knobs={"tokens": tokens},
    )
    screen.phase(f"training {name}")
    score, prompt = _trained(candidate, prepared, model, config, _watch(name, screen))
    screen.done(0, f"{name}: {prepared.problem.metric} {score:.4g} on selection")
    record = SourceRecord(
        name=name,
        file=str(file),
        model=config.model,
        data=source.origin,
        task=prepared.problem.task,
        metric=prepared.problem.metric,
        score=score,
        rows=len(prepared.train),
        tokens=tokens,
        epochs=epochs,
        learning_rate=candidate.learning_rate,
        seed=config.seed,
        versions=opening.versions(),
    )
    _write(file, prompt, record)
    return record


def list_sources(folder: Path) -> list[SourceRecord]:
    """Return the source prompts of all models in a folder, by model and name.

    Raises:
        RunFolderError: a record cannot be read.
    """
    found = []
    for file in sorted(folder.glob("*/*.json")):
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            found.append(SourceRecord(**{**values, "file": str(file.with_suffix(".safetensors"))}))
        except (OSError, TypeError, ValueError) as error:
            raise RunFolderError(f"{file} is no record of a source prompt: {error}") from error
    return found


def _trained(
    candidate: Candidate, prepared: Prepared, model: str, config: SearchConfig, watch: Watch
) -> tuple[float, Tensor]:
    """Return the score and the prompt (tokens, width) of a training."""
    from safetensors.torch import load_file

    from autopeft.train.session import Session, Setting

    problem = prepared.problem
    with TemporaryFolder("source") as place:
        data, artifact = place.path / "data", place.path / "artifact"
        with quiet():
            prepared.train.save_to_disk(str(data / "train"))
            prepared.selection.save_to_disk(str(data / "selection"))
        session = Session(
            Setting(
                data=str(data),
                model=model,
                task=problem.task,
                labels=tuple(problem.labels),
                metric=problem.metric,
                max_length=config.max_length or opening.MOST_TOKENS,
            )
        )
        longest = int(max(session.train.lengths.max(), session.selection.lengths.max()))
        reason = METHODS.get(METHOD).excluded(session.delivered.shape, longest)
        if reason is not None:
            raise IncompatibleMethodError(f"{reason}; --max-length cuts texts")
        outcome = session.trial(candidate, seed=config.seed, watch=watch, artifact=artifact)
        weights = load_file(artifact / ADAPTER_WEIGHTS)
    (prompt,) = (value for key, value in weights.items() if key.endswith(f".{PROMPT}"))
    return float(outcome["score"]), prompt


def _watch(name: str, screen: Screen) -> Watch:
    from autopeft.train.fit import Watch

    return Watch(on_step=lambda shares, _: screen.training(0, name, shares[0], ""))


def _write(file: Path, prompt: Tensor, record: SourceRecord) -> None:
    from safetensors.torch import save_file

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({PROMPT: prompt.contiguous()}, file)
        text = json.dumps(asdict(record), indent=2, ensure_ascii=False)
        file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error
