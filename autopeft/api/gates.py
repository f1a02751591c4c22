"""The gate as evidence: one brief gated training tells which parts count in which layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopeft.api.alone import train_alone
from autopeft.api.hardened import Hardened, deliver_hardened
from autopeft.api.opened import Opened
from autopeft.config import SearchConfig
from autopeft.errors import ConfigError, suggestion
from autopeft.methods import METHODS
from autopeft.methods.hardening import hardened
from autopeft.methods.unipelt import BLOCKS
from autopeft.records import Candidate, Scalar
from autopeft.report.screen import Screen, SilentScreen
from autopeft.search.space import Space
from autopeft.temporary import TemporaryFolder

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
        hardened: the mixture without gates that is left when they are rounded to on or off.
        hardened_params: of that.
        delivered: what became of that; None where it was not to be trained.
    """

    candidate: Candidate
    trainable_params: int
    metric: str
    score: float
    gates: tuple[Mapping[str, Any], ...]
    hardened: Candidate
    hardened_params: int
    delivered: Hardened | None = None


def gates(
    data: Any,
    *,
    epochs: int = 3,
    parts: Sequence[str] | None = None,
    harden: Path | None = None,
    screen: Screen | None = None,
    **settings: object,
) -> Evidence:
    """Train one gated mixture and return what its gates say about every part in every layer.

    The data is read, split and trained on as in a search, in a folder that is removed again.

    Args:
        data: whatever `autopeft.search` takes.
        epochs: passes over the training split.
        parts: names from `SIZES`; None for those of UniPELT that the backbone can have.
        harden: folder to deliver the hardened mixture in, once it is trained as well; None to leave
            it at what the gates say.
        screen: shows what happens.
        settings: as of `autopeft.search`: ``model``, ``text``, ``label``, ``seed`` …

    Raises:
        UsageError: something cannot be used as given.
        IncompatibleMethodError: the backbone cannot have one of `parts`.
        NoCandidateError: a training failed.
        DeliveryError: the delivered model does not give the measured outputs.
    """
    if epochs < 1:
        raise ConfigError(f"--epochs {epochs} is below 1")
    for name in parts or ():
        if name not in SIZES:
            raise ConfigError(f"no part {name!r}; {suggestion(name, tuple(SIZES))}")
    if harden is not None and harden.exists():
        raise ConfigError(f"--harden {harden} is there already; name a folder that is not")
    shown = screen or SilentScreen()
    with TemporaryFolder("gates") as temporary:
        folder = temporary.path
        config = SearchConfig.build(
            **settings, methods=("mixture",), output=folder / "run", workers=1
        )
        with Opened(data, config, shown) as opened:
            space = opened.narrowed()[1]
            candidate = _candidate(space, parts, epochs)
            count = space.count(candidate)
            shown.say(f"gates   {candidate.describe()}: {count:,} parameters")
            outcome = train_alone(opened, candidate, folder / "gated", "gates")
            left = _left(candidate, outcome["gates"], space)
            delivered = None
            if harden is not None:
                delivered = deliver_hardened(opened, left, harden, folder)
            return Evidence(
                candidate=candidate,
                trainable_params=count,
                metric=opened.prepared.problem.metric,
                score=outcome["score"],
                gates=tuple(outcome["gates"]),
                hardened=left,
                hardened_params=space.count(left),
                delivered=delivered,
            )


def _left(candidate: Candidate, found: Sequence[Mapping[str, Any]], space: Space) -> Candidate:
    """Return what is left of a gated mixture when its gates are rounded."""
    recipe, shape = METHODS.get(candidate.method).recipe, space.shape
    assert recipe is not None and shape is not None
    return hardened(
        candidate,
        recipe(shape, candidate.placement, candidate.knobs),
        {(gate["layer"], gate["part"]): gate["mean"] for gate in found},
        shape.layers,
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
