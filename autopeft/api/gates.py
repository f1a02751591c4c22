"""The gate as evidence: one brief gated training tells which parts count in which layers."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopeft.api.opened import Opened
from autopeft.api.pool import Job
from autopeft.api.trials import show_progress
from autopeft.config import SearchConfig
from autopeft.errors import ConfigError, NoCandidateError, suggestion
from autopeft.methods import METHODS
from autopeft.methods.hardening import hardened
from autopeft.methods.unipelt import BLOCKS
from autopeft.records import Candidate, Cause, RungPoint, Scalar
from autopeft.report.screen import Screen, SilentScreen
from autopeft.search.space import Space

SIZES: Mapping[str, Scalar] = {
    "serial": 48,
    "serial_attention": 48,
    "parallel": 48,
    "prefix": 12,
    "lora": 8,
    "ia3": True,
}
"""What can be gated, with the size at which it is tried."""

PARTS = ("serial", "prefix", "lora")
"""Those of UniPELT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the gates of one training say.

    Args:
        candidate: the gated mixture.
        trainable_params: of it, without the head.
        metric: name of the metric.
        score: of the mixture on the selection rows.
        gates: ``layer``, ``part``, and over the selection rows ``mean`` and ``spread``.
        hardened: the mixture without gates that is left when they are rounded to on or off; not
            trained yet.
        hardened_params: of that.
    """

    candidate: Candidate
    trainable_params: int
    metric: str
    score: float
    gates: tuple[Mapping[str, Any], ...]
    hardened: Candidate
    hardened_params: int


def gates(
    data: Any,
    *,
    epochs: int = 3,
    parts: Sequence[str] | None = None,
    screen: Screen | None = None,
    **settings: object,
) -> Evidence:
    """Train one gated mixture and return what its gates say about every part in every layer.

    The data is read, split and trained on as in a search, in a folder that is removed again.

    Args:
        data: whatever `autopeft.search` takes.
        epochs: passes over the training split.
        parts: names from `SIZES`; None for those of UniPELT that the backbone can have.
        screen: shows what happens.
        settings: as of `autopeft.search`: ``model``, ``text``, ``label``, ``seed`` …

    Raises:
        UsageError: something cannot be used as given.
        IncompatibleMethodError: the backbone cannot have one of `parts`.
        NoCandidateError: the training failed.
    """
    if epochs < 1:
        raise ConfigError(f"--epochs {epochs} is below 1")
    for name in parts or ():
        if name not in SIZES:
            raise ConfigError(f"no part {name!r}; {suggestion(name, tuple(SIZES))}")
    shown = screen or SilentScreen()
    with tempfile.TemporaryDirectory(prefix="autopeft-gates-") as folder:
        config = SearchConfig.build(
            **settings, methods=("mixture",), output=Path(folder) / "run", workers=1
        )
        with Opened(data, config, shown) as opened:
            space = opened.narrowed()[1]
            candidate = _candidate(space, parts, epochs)
            count = space.count(candidate)
            shown.say(f"gates   {candidate.describe()}: {count:,} parameters")
            watcher = _One(shown)
            job = Job(
                number=0,
                candidate=candidate,
                seed=config.seed,
                rungs=(1.0,),
                artifact=Path(folder) / "artifact",
            )
            opened.train(job, watcher)
            metric = opened.prepared.problem.metric
    assert watcher.outcome is not None and space.shape is not None
    info, found = METHODS.get(candidate.method), tuple(watcher.outcome["gates"])
    assert info.recipe is not None
    plain = hardened(
        candidate,
        info.recipe(space.shape, candidate.placement, candidate.knobs),
        {(gate["layer"], gate["part"]): gate["mean"] for gate in found},
        space.shape.layers,
    )
    return Evidence(
        candidate=candidate,
        trainable_params=count,
        metric=metric,
        score=watcher.outcome["score"],
        gates=found,
        hardened=plain,
        hardened_params=space.count(plain),
    )


def _candidate(space: Space, parts: Sequence[str] | None, epochs: int) -> Candidate:
    """Return the gated mixture of these parts; of UniPELT's only those that are possible."""
    made = _mixture(parts or PARTS, epochs)
    if parts is None and space.infeasible(made) is not None:
        made = _mixture([name for name in PARTS if name != "prefix"], epochs)
    space.count(made)
    return made


def _mixture(parts: Sequence[str], epochs: int) -> Candidate:
    info = METHODS.get("mixture")
    knobs = {name: knob.default for name, knob in info.knobs.items()}
    knobs |= {name: SIZES[name] if name in parts else type(SIZES[name])() for name in SIZES}
    return Candidate(
        method=info.name,
        learning_rate=info.learning_rate.median,
        epochs=epochs,
        knobs=knobs | {"gates": "own"},
        placement=BLOCKS,
    )


class _One:
    """Waits for the outcome of one training."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.outcome: Mapping[str, Any] | None = None

    def started(self, job: Job) -> None:
        del job
        self._screen.phase("training")

    def progress(self, job: Job, share: float, examples_per_second: float) -> None:
        show_progress(self._screen, job.number, job, share, examples_per_second)

    def rung(self, points: Mapping[int, RungPoint]) -> Collection[int]:
        return points

    def finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        self.outcome = outcome
        seconds = outcome["costs"]["train_seconds"]
        self._screen.done(job.number, f"gates   {outcome['score']:.4f} in {seconds:.0f} s")

    def failed(self, job: Job, cause: Cause, message: str) -> None:
        raise NoCandidateError(f"{job.candidate.describe()} failed: {cause.value}: {message}")
