"""Our contenders: one candidate, or a pack of them, as a search trains them."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from datasets import load_from_disk

from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.artifact import load_artifact
from autopeft.methods.recipe import layers_of
from autopeft.records import BackboneShape, Candidate, Cause, RungPoint
from autopeft.tasks.encode import encode
from autopeft.train.fit import Watch
from autopeft.train.session import Order, Session
from autopeft.train.session import Outcome as SessionOutcome
from benchmarks.speed.contender import Contender, Outcome
from benchmarks.speed.laps import Laps, now


def ours(session: Session, *candidates: Candidate, score: bool = False) -> Contender:
    """Return our path: all candidates in one pass, each with its best epoch's weights.

    Args:
        session: with the rows to train on.
        candidates: of one batch size and as many epochs each.
        score: whether the first is scored on the test split.
    """

    def train(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            outcome = _train(session, candidates, seed, Path(folder))
            accuracy = _accuracy(session, Path(folder) / "0") if score else None
        return dataclasses.replace(outcome, test_accuracy=accuracy)

    return train


def lowest_layer(shape: BackboneShape, candidates: Sequence[Candidate]) -> int:
    """Return the lowest layer that any of the candidates adapts."""
    return min(min(layers_of(shape, candidate.placement)) for candidate in candidates)


def _train(session: Session, candidates: Sequence[Candidate], seed: int, folder: Path) -> Outcome:
    """Train candidates in one pass.

    Raises:
        RuntimeError: they could not be trained together.
        TrialError: one of them failed.
    """
    shape, rows, epochs = session.delivered.shape, len(session.train), candidates[0].epochs
    laps, ended = Laps(), dict[int, SessionOutcome]()
    began = now()
    states = session.recycled.states(lowest_layer(shape, candidates))
    recycle_seconds = now() - began
    session.pack(
        [Order(candidate=c, artifact=folder / str(n)) for n, c in enumerate(candidates)],
        seed=seed,
        rungs=tuple((epoch + 1) / epochs for epoch in range(epochs)),
        watch=_watch(laps, rows, candidates[0]),
        ended=ended.__setitem__,
    )
    whole = now() - began
    del states  # held until here, so that the training found them
    for outcome in ended.values():
        # a model that learnt nothing in its few steps counts here, unlike in a search
        if isinstance(outcome, TrialError) and outcome.cause != Cause.CONSTANT:
            raise outcome
    if len(laps.trained) != epochs:
        raise RuntimeError(f"{len(candidates)} candidates did not train in one pass: no memory?")
    return Outcome(
        examples=rows * epochs * len(candidates),
        trained_params=sum(
            METHODS.get(c.method).count(shape, c.placement, c.knobs) + shape.head_params
            for c in candidates
        ),
        recycle_seconds=recycle_seconds,
        train_seconds=laps.train_seconds,
        evaluation_seconds=laps.evaluation_seconds,
        whole_seconds=whole,
    )


def _watch(laps: Laps, rows: int, candidate: Candidate) -> Watch:
    """Return a watch that takes the laps: a rung at the end of every epoch."""
    per_epoch = -(-rows // candidate.batch_size)

    def on_step(shares: Mapping[int, float], examples_per_second: float) -> None:
        step = round(next(iter(shares.values())) * per_epoch * candidate.epochs)
        if step == per_epoch:  # the rate counts from the entry into the training loop
            laps.started = time.monotonic() - len(shares) * rows / examples_per_second
        if step % per_epoch == 0:
            laps.trained.append(now())

    def on_rung(points: Mapping[int, RungPoint]) -> Collection[int]:
        laps.evaluated.append(now())
        return points

    return Watch(on_rung=on_rung, on_step=on_step)


def _accuracy(session: Session, artifact: Path) -> float:
    rows = load_from_disk(str(Path(session.setting.data) / "test"))
    encoded = encode(rows, session.delivered.tokenizer, max_length=session.setting.max_length)
    model = load_artifact(session.delivered, artifact).to(session.device)
    return session.scores(session.outputs(model, encoded), encoded.targets)["accuracy"]
