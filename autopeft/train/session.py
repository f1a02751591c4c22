"""What a training process keeps between trials: data, tokens, backbone, plan."""

from __future__ import annotations

import dataclasses
import gc
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from autopeft.backbone.load import Backbone, load_backbone, set_attention
from autopeft.backbone.lowest import lowest_trained_layer
from autopeft.backbone.share import share
from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, load_trainable_state, private_copy, trainable
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.mixture import kind_of
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.tasks import TASKS
from autopeft.tasks import metric as metrics
from autopeft.tasks.encode import Encoded, encode
from autopeft.train.batches import TrainingBatches, collate
from autopeft.train.costs import PeakMemory, latency_seconds
from autopeft.train.evaluate import outputs
from autopeft.train.fit import Watch, fit
from autopeft.train.member import Member
from autopeft.train.precision import Plan
from autopeft.train.probe import PROBE_ROWS, Probe
from autopeft.train.recycled_splits import RecycledSplits
from autopeft.train.runner import Runner
from autopeft.train.scale import Scale, output_layer
from autopeft.train.shortage import disk_refuses, is_out_of_memory, release
from autopeft.tuner import GateMean, Pack, draw_from, reading_gates


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a session is about: plain values, as they come from the supervisor.

    Args:
        data: folder with one saved data set per split.
        model: folder or hub name of the backbone.
        task: name of the task.
        labels: class names; empty for numbers.
        metric: name of the metric that is chosen by.
        max_length: longest input in tokens; longer ones are cut.
        plan: how to train; None measures.
        threads: processor threads of this process; None leaves torch's choice.
        frozen: folder for the recycled states of frozen layers; None for one beside the data.
    """

    data: str
    model: str
    task: str
    labels: tuple[str, ...]
    metric: str
    max_length: int
    plan: Mapping[str, Any] | None = None
    threads: int | None = None
    frozen: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """What the members of a pack have in common."""

    seed: int
    rungs: tuple[float, ...]
    watch: Watch
    parts: int


class Session:
    """Trains candidates on one backbone, one after the other or in packs.

    The test split is never read here.

    Raises:
        ModelError: the backbone cannot be loaded.
    """

    def __init__(self, setting: Setting) -> None:
        from datasets import load_from_disk

        if setting.threads is not None:
            torch.set_num_threads(setting.threads)
        self.setting = setting
        self.task = TASKS.get(setting.task)
        self.metric = metrics.METRICS.get(setting.metric)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.delivered = load_backbone(
            setting.model,
            auto_class=self.task.auto_class,
            model_options=self.task.model_options(setting.labels),
        )
        self.delivered.model.to(self.device)
        tokenizer = self.delivered.tokenizer
        longest = self.delivered.shape.positions or setting.max_length
        self.setting = dataclasses.replace(setting, max_length=min(setting.max_length, longest))
        self.train, self.selection = (
            encode(
                load_from_disk(str(Path(setting.data) / split)),
                tokenizer,
                max_length=self.setting.max_length,
            )
            for split in ("train", "selection")
        )
        self.scale, self._tuned_head = Scale(), False
        if not self.task.categorical:
            self._standardise()
        self.pad_token = int(tokenizer.pad_token_id)
        self.idle_bytes = psutil.Process().memory_info().rss
        self.probe = Probe(
            self._backbone_for,
            self.train,
            self.task.loss,
            pad_token=self.pad_token,
            device=self.device,
        )
        self.plan = self.probe.fastest() if setting.plan is None else Plan(**setting.plan)
        self.backbone = self._backbone_for(self.plan)
        self.recycled = RecycledSplits(
            self.backbone,
            {"train": self.train, "selection": self.selection},
            Path(setting.frozen or Path(setting.data) / "frozen"),
            pad_token=self.pad_token,
            device=self.device,
        )

    def trial(
        self,
        candidate: Candidate,
        *,
        seed: int,
        artifact: Path,
        watch: Watch | None = None,
        rungs: tuple[float, ...] = (1.0,),
        deadline: float | None = None,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Train one candidate and return what `pack` says of it.

        Raises:
            TrialError: with the cause.
        """
        order = Order(candidate=candidate, artifact=artifact, deadline=deadline, keep=keep)
        found: dict[int, Outcome] = {}
        self.pack([order], seed=seed, rungs=rungs, watch=watch, ended=found.__setitem__)
        outcome = found[0]
        if isinstance(outcome, TrialError):
            raise outcome
        return outcome

    def pack(
        self,
        orders: Sequence[Order],
        *,
        seed: int,
        ended: Callable[[int, Outcome], None],
        rungs: tuple[float, ...] = (1.0,),
        watch: Watch | None = None,
    ) -> None:
        """Train candidates in one pass; save the best weights and selection outputs of each.

        A training that its deadline cut short counts as stopped, or with `Order.keep` as finished.

        Where a pack fails, what has not ended is trained again in two halves, so that the fault is
        laid at the door of the candidate that has it. Where memory runs out for one alone, its
        batch is cut in halves, then quarters and so on, with gradients accumulated, so that an
        optimizer step still sees the whole batch.

        Args:
            orders: of candidates of one `autopeft.methods.pack_key`, or a single one.
            seed: of the order of the rows, and of every candidate's head, adapter and dropout.
            ended: gets the place in `orders` and what came of it, as soon as one has ended: its
                error, or plain values ``stopped``, ``message``, ``curve``, ``score``, ``metrics``,
                ``costs``, and of a training that came to its end ``gates``: the means over the
                selection rows.
            rungs: shares of the training at which `watch` is asked.
            watch: knows members by their place in `orders`.

        Raises:
            OSError: the disk refuses what is to be saved.
        """
        missing = dict(enumerate(orders))

        def settle(number: int, outcome: Outcome) -> None:
            del missing[number]
            ended(number, outcome)

        groups, parts = [list(missing)], 1
        while groups:
            group = [number for number in groups.pop(0) if number in missing]
            if not group:
                continue
            training = _Training(seed=seed, rungs=rungs, watch=watch or Watch(), parts=parts)
            try:
                self._attempt({number: missing[number] for number in group}, training, settle)
            except Exception as error:
                if disk_refuses(error):
                    raise
                left = [number for number in group if number in missing]
                short = is_out_of_memory(error)
                if len(left) > 1:
                    half = len(left) // 2
                    groups = [left[:half], left[half:], *groups]
                elif left and short and parts < missing[left[0]].candidate.batch_size:
                    parts *= 2
                    groups.insert(0, left)
                elif left:
                    settle(left[0], _failure(error))
            finally:
                release(self.device)

    def _attempt(
        self,
        orders: Mapping[int, Order],
        training: _Training,
        ended: Callable[[int, Outcome], None],
    ) -> None:
        first = next(iter(orders.values())).candidate
        batches = TrainingBatches(
            self.train,
            batch_size=first.batch_size,
            pad_token=self.pad_token,
            seed=training.seed,
            parts=training.parts,
        )
        backbone, autocast = self._precision_for(first.method)
        with PeakMemory(self.device) as memory:
            members = []
            for number, order in orders.items():
                try:
                    members.append(self._member(number, order, backbone, batches.steps, training))
                except TrialError as error:
                    ended(number, error)
            torch.manual_seed(training.seed)

            def left(member: Member) -> None:
                order = orders[member.number]
                try:
                    outcome = self._outcome(member, order, memory, training.parts, len(orders))
                except TrialError as error:
                    ended(member.number, error)
                else:
                    ended(member.number, outcome)

            if members:
                fit(
                    members,
                    lambda some: self._join(some, backbone),
                    batches=batches,
                    selection=self.selection,
                    score=self._goodness,
                    loss=self.task.loss,
                    device=self.device,
                    pad_token=self.pad_token,
                    autocast=autocast,
                    watch=self._shown_by(training.watch),
                    left=left,
                )

    def _member(
        self, number: int, order: Order, backbone: Backbone, steps: int, training: _Training
    ) -> Member:
        candidate = order.candidate
        model = adapt(
            backbone, candidate, seed=training.seed, total_steps=steps * candidate.epochs
        ).to(self.device)
        if self._tuned_head:
            self.scale.unfold(output_layer(model, self.delivered.heads)[1])
        return Member(
            number,
            candidate,
            model,
            seed=training.seed,
            steps_per_epoch=steps,
            rungs=training.rungs,
            deadline=order.deadline,
        )

    def _join(self, members: Sequence[Member], backbone: Backbone) -> Runner:
        """Return what runs members in one pass."""
        if len(members) == 1:
            model: torch.nn.Module = members[0].model
            draw_from(model, members[0].generator)
        else:
            models = [member.model for member in members]
            tree = private_copy(backbone).to(self.device)
            model = Pack(tree, models, backbone.heads, [m.generator for m in members]).eval()
        if backbone is not self.backbone:
            return Runner(model)
        layers = min(lowest_trained_layer(member.model) for member in members)
        return Runner(model, **self.recycled.states(layers))

    def _outcome(
        self, member: Member, order: Order, memory: PeakMemory, parts: int, together: int
    ) -> dict[str, Any]:
        """Return what came of a training, once its best weights are saved.

        Raises:
            TrialError: it failed.
        """
        result = member.fit
        if result.error is not None:
            raise result.error
        cut = result.cut_share
        stopped = result.stopped or (cut is not None and not order.keep)
        notes = [] if parts == 1 else [f"batches in {parts} parts, for memory"]
        adapter_params, head_params = trainable(member.model)
        outcome: dict[str, Any] = {
            "stopped": stopped,
            "message": "; ".join(
                notes if cut is None else [*notes, f"cut at {cut:.0%} by the time limit"]
            ),
            "curve": [dataclasses.asdict(self._shown(point)) for point in result.curve],
            "score": self._sign * result.score,
            "metrics": {},
            "train_examples": result.train_examples,
            "costs": {
                "trainable_params": adapter_params,
                "head_params": head_params,
                "peak_memory_bytes": memory.extra_bytes // together,
                "train_seconds": result.train_seconds,
            },
        }
        if not stopped:
            self._finish(member, order.artifact, outcome)
        return outcome

    def _finish(self, member: Member, artifact: Path, outcome: dict[str, Any]) -> None:
        """Save the best weights and score them as they will be delivered."""
        model, weights = member.model, member.fit.weights
        assert weights is not None
        load_trainable_state(model, weights)
        if not self.task.categorical:
            self.scale.fold(output_layer(model, self.delivered.heads)[1])
        outcome["costs"]["artifact_bytes"] = save_artifact(model, artifact, member.candidate)
        delivered = load_artifact(self.delivered, artifact).to(self.device)
        with reading_gates(delivered) as gates:
            values = self.outputs(delivered, self.selection)
        outcome["gates"] = _by_place(gates.means())
        np.save(artifact / "selection.npy", values, allow_pickle=False)
        if self._is_constant(values):
            raise TrialError(Cause.CONSTANT, "it predicts the same for every selection row")
        outcome["metrics"] = self.scores(values, self.selection.targets)
        outcome["score"] = outcome["metrics"][self.setting.metric]
        batch = collate(self.selection, np.arange(min(16, len(values))), self.pad_token)
        outcome["costs"]["latency_seconds"] = latency_seconds(
            delivered, {name: value.to(self.device) for name, value in batch.items()}
        )

    def outputs(self, model: torch.nn.Module, encoded: Encoded) -> np.ndarray:
        """Return the logits (N, C) of a model on a split."""
        return outputs(model, encoded, pad_token=self.pad_token, device=self.device)

    def scores(self, values: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return every metric of the task for outputs (N, C) and targets (N,)."""
        predicted = self.task.predictions(values)
        return {name: metrics.score(name, targets, predicted) for name in self.task.metrics}

    @property
    def _sign(self) -> float:
        return 1.0 if self.metric.higher_is_better else -1.0

    def _standardise(self) -> None:
        """Let training see targets of mean 0 and standard deviation 1."""
        name, layer = output_layer(self.delivered.model, self.delivered.heads)
        self._tuned_head = name not in self.delivered.fresh
        self.scale = Scale.of(self.train.targets, centred=layer.bias is not None)
        targets = self.scale.shrink(self.train.targets)
        self.train = dataclasses.replace(self.train, targets=targets)

    def _goodness(self, values: np.ndarray) -> float:
        predicted = self.task.predictions(self.scale.restore(values))
        return self._sign * metrics.score(self.setting.metric, self.selection.targets, predicted)

    def _shown_by(self, watch: Watch) -> Watch:
        """Return a watch that is told scores in the metric's own direction."""
        return dataclasses.replace(
            watch,
            on_rung=lambda points: watch.on_rung({n: self._shown(p) for n, p in points.items()}),
        )

    def _shown(self, point: RungPoint) -> RungPoint:
        return dataclasses.replace(point, score=self._sign * point.score)

    def _is_constant(self, values: np.ndarray) -> bool:
        predicted = self.task.predictions(values)
        return len(predicted) > 1 and bool(np.ptp(predicted) < 1e-6 * self.scale.spread)

    def _precision_for(self, method: str) -> tuple[Backbone, torch.dtype | None]:
        """Return the backbone to train on and the dtype of autocast, if any.

        A method that trains base weights needs them in float32, so it reaches low precision
        through autocast.
        """
        if METHODS.get(method).low_precision or self.plan.dtype == "float32":
            return self.backbone, None
        full = Plan(dtype="float32", attention=self.plan.attention)
        return self._backbone_for(full), self.plan.torch_dtype

    def _backbone_for(self, plan: Plan) -> Backbone:
        model = share(self.delivered.model).to(plan.torch_dtype)
        return set_attention(dataclasses.replace(self.delivered, model=model), plan.attention)


def _failure(error: Exception) -> TrialError:
    """Return what a training failed of; a fault of ours goes to the log whole."""
    if is_out_of_memory(error):
        said = str(error).splitlines() or [type(error).__name__]
        return TrialError(Cause.OUT_OF_MEMORY, said[0])
    traceback.print_exception(error)
    return TrialError(Cause.BUG, f"{type(error).__name__}: {error}")


def _by_place(means: Iterable[GateMean]) -> list[dict[str, Any]]:
    """Return gates as plain values, once per layer and kind of part."""
    found = {(of.part.layer, kind_of(of.part)): of for of in means}
    return [
        {"layer": layer, "part": kind, "mean": of.mean, "spread": of.spread}
        for (layer, kind), of in sorted(found.items())
    ]


def open_session(message: Mapping[str, Any]) -> tuple[Session, dict[str, Any]]:
    """Build a session from a supervisor's message; return it with what the supervisor must know."""
    started = time.monotonic()
    values: dict[str, Any] = {f.name: message.get(f.name) for f in dataclasses.fields(Setting)}
    session = Session(Setting(**{**values, "labels": tuple(message["labels"])}))
    gc.collect()
    gc.freeze()  # what is here now stays, so that looking for garbage between trials is quick
    return session, {
        "shape": session.delivered.shape.to_json(),
        "plan": session.plan.to_json(),
        "device": _device_name(session.device),
        "notes": list(session.delivered.notes),
        "longest": int(max(session.train.lengths.max(), session.selection.lengths.max())),
        "truncated": session.train.truncated + session.selection.truncated,
        "rows": [len(session.train.targets), len(session.selection.targets)],
        "idle_bytes": session.idle_bytes,
        "bytes_per_token": session.probe.bytes_per_token,
        "max_length": session.setting.max_length,
        "row_seconds": (session.plan.seconds_per_step or 0.1) / PROBE_ROWS,
        "open_seconds": time.monotonic() - started - session.probe.seconds,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
