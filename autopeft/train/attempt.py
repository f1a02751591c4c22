"""One attempt to train candidates together: from orders to saved adapters and their scores."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autopeft.backbone.load import Backbone
from autopeft.backbone.lowest import lowest_trained_layer
from autopeft.errors import TrialError
from autopeft.methods.adapt import adapt, private_copy
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.mixture import kind_of
from autopeft.methods.trained import load_trainable_state, trainable
from autopeft.records import Candidate, Cause
from autopeft.train.batches import TrainingBatches, collate, on_device
from autopeft.train.costs import PeakMemory, latency_seconds
from autopeft.train.evaluate import pack_outputs
from autopeft.train.fit import Watch, fit
from autopeft.train.member import Member
from autopeft.train.runner import Runner
from autopeft.train.scale import output_layer
from autopeft.tuner import GateMean, Pack, draw_from, reading_gates

if TYPE_CHECKING:
    from autopeft.train.session import Session


LATENCY_ROWS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One candidate to train.

    Args:
        candidate: what to train.
        artifact: folder for the trained adapter.
        deadline: `time.monotonic` at which the training is cut short; None for never.
        keep: whether a training that was cut is finished with its best weights so far.
    """

    candidate: Candidate
    artifact: Path
    deadline: float | None = None
    keep: bool = False


Outcome = dict[str, Any] | TrialError
"""What came of a training, see `Session.pack`."""


class Attempt:
    """Trains orders in one pass.

    Args:
        session: data, backbone and plan.
        seed: of the order of the rows, and of every candidate's head, adapter and dropout.
        rungs: shares of the training at which `watch` is asked.
        watch: knows members by their number.
        parts: how many parts a batch is cut into, for memory.
    """

    def __init__(
        self, session: Session, *, seed: int, rungs: tuple[float, ...], watch: Watch, parts: int
    ) -> None:
        self._session, self._seed, self._rungs = session, seed, rungs
        self._watch, self._parts = watch, parts

    def run(self, orders: Mapping[int, Order], ended: Callable[[int, Outcome], None]) -> None:
        """Train orders, and tell by number what came of each as soon as it has ended."""
        session = self._session
        first = next(iter(orders.values())).candidate
        batches = TrainingBatches(
            session.train,
            batch_size=first.batch_size,
            padding=session.padding,
            seed=self._seed,
            parts=self._parts,
        )
        backbone, autocast = session.precision_for(first.method)
        with PeakMemory(session.device) as memory:
            members = []
            for number, order in orders.items():
                try:
                    members.append(self._member(number, order, backbone, batches.steps))
                except TrialError as error:
                    ended(number, error)
            torch.manual_seed(self._seed)

            def left(member: Member) -> None:
                order, peak_bytes = orders[member.number], memory.extra_bytes // len(orders)
                try:
                    outcome = self._outcome(member, order, peak_bytes, len(orders))
                except TrialError as error:
                    ended(member.number, error)
                else:
                    ended(member.number, outcome)

            if members:
                fit(
                    members,
                    lambda some: self._join(some, backbone),
                    batches=batches,
                    selection=session.selection,
                    score=session.goodness,
                    loss=session.task.loss,
                    device=session.device,
                    padding=session.padding,
                    autocast=autocast,
                    watch=session.shown_by(self._watch),
                    left=left,
                )

    def _member(self, number: int, order: Order, backbone: Backbone, steps: int) -> Member:
        session, candidate = self._session, order.candidate
        model = adapt(
            backbone, candidate, seed=self._seed, total_steps=steps * candidate.epochs
        ).to(session.device)
        if session.tuned_head:
            session.scale.unfold(output_layer(model, session.delivered.heads)[1])
        return Member(
            number,
            candidate,
            model,
            seed=self._seed,
            steps_per_epoch=steps,
            rungs=self._rungs,
            evaluated=session.evaluated_epochs(candidate.epochs),
            deadline=order.deadline,
            keep=order.keep,
        )

    def _join(self, members: Sequence[Member], backbone: Backbone) -> Runner:
        """Return what runs members in one pass."""
        if len(members) == 1:
            model: torch.nn.Module = members[0].model
            draw_from(model, members[0].generator)
        else:
            models = [member.model for member in members]
            tree = private_copy(backbone).to(self._session.device)
            model = Pack(tree, models, backbone.heads, [m.generator for m in members]).eval()
        if backbone is not self._session.backbone:
            return Runner(model)
        layers = min(lowest_trained_layer(member.model) for member in members)
        deadline = min((m.deadline for m in members if m.deadline is not None), default=math.inf)

        def affordable(rows: int) -> bool:
            left = deadline - time.monotonic()
            return self._session.forward_seconds(rows, layers) <= left

        return Runner(model, **self._session.recycled.states(layers, affordable))

    def _outcome(
        self, member: Member, order: Order, peak_bytes: int, together: int
    ) -> dict[str, Any]:
        """Return what came of a training, once its best weights are saved.

        Raises:
            TrialError: it failed.
        """
        result, session = member.fit, self._session
        if result.error is not None:
            raise result.error
        cut = result.cut_share
        stopped = result.stopped or (cut is not None and not order.keep)
        notes = [] if together == 1 else [f"one of {together} in a pass"]
        notes += [] if self._parts == 1 else [f"batches in {self._parts} parts, for memory"]
        notes += [] if cut is None else [f"cut at {cut:.0%} by the time limit"]
        adapter_params, head_params = trainable(member.model)
        outcome: dict[str, Any] = {
            "stopped": stopped,
            "message": "; ".join(notes),
            "cut_share": cut,
            "curve": [dataclasses.asdict(session.shown(point)) for point in result.curve],
            "score": session.sign * result.score,
            "metrics": {},
            "train_examples": result.train_examples,
            "costs": {
                "trainable_params": adapter_params,
                "head_params": head_params,
                "peak_memory_bytes": peak_bytes,
                "train_seconds": result.train_seconds,
            },
        }
        if not stopped:
            try:
                self._finish(member, order.artifact, outcome)
            except TrialError:
                if cut is None:
                    raise
                outcome["stopped"] = True  # what was so short says nothing of the candidate
        return outcome

    def _finish(self, member: Member, artifact: Path, outcome: dict[str, Any]) -> None:
        """Save the best weights and score them as they will be delivered, see `Setting`."""
        model, weights, session = member.model, member.fit.weights, self._session
        assert weights is not None
        load_trainable_state(model, weights)
        if not session.task.categorical:
            session.scale.fold(output_layer(model, session.delivered.heads)[1])
        outcome["costs"]["artifact_bytes"] = save_artifact(model, artifact, member.candidate)
        if session.setting.as_trained and session.trains_on_its_backbone(member.candidate.method):
            scored, recycled = model, session.recycled
        else:
            scored = load_artifact(session.delivered, artifact).to(session.device)
            recycled = session.recycled_whole
        lowest = lowest_trained_layer(model)
        runner = Runner(scored, **recycled.states(lowest))
        started = time.monotonic()
        with reading_gates(scored) as gates:
            values = self._save_outputs(runner, "selection", artifact)
        if lowest == 0:  # else a part of it was recycled
            outcome["scoring_seconds"] = (time.monotonic() - started) / len(values)
        outcome["gates"] = _by_place(gates.means())
        for split in session.setting.also:
            self._save_outputs(runner, split, artifact)
        runner.close()
        if session.is_constant(values):
            raise TrialError(Cause.CONSTANT, "it predicts the same for every selection row")
        outcome["metrics"] = session.scores(values, session.selection.targets)
        outcome["score"] = outcome["metrics"][session.setting.metric]
        batch = collate(
            session.selection, np.arange(min(LATENCY_ROWS, len(values))), session.padding
        )
        moved = on_device(batch, session.device)
        outcome["costs"]["latency_seconds"] = latency_seconds(scored, moved)

    def _save_outputs(self, runner: Runner, split: str, artifact: Path) -> np.ndarray:
        """Return the outputs (N, C) of the one that runs on a split, also kept in a file."""
        session = self._session
        (values,) = pack_outputs(
            runner,
            session.evaluated[split],
            padding=session.padding,
            device=session.device,
            split=split,
        )
        np.save(artifact / f"{split}.npy", values, allow_pickle=False)
        found: np.ndarray = values
        return found


def _by_place(means: Iterable[GateMean]) -> list[dict[str, Any]]:
    """Return gates as plain values, once per layer and kind of part."""
    found = {(of.part.layer, kind_of(of.part)): of for of in means}
    return [
        {"layer": layer, "part": kind, "mean": of.mean, "spread": of.spread}
        for (layer, kind), of in sorted(found.items())
    ]
