"""What a training process keeps between trials: data, tokens, backbone, plan."""

from __future__ import annotations

import dataclasses
import gc
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autopeft.backbone.load import Backbone, load_backbone, set_attention
from autopeft.backbone.precision import cast_weights
from autopeft.backbone.share import share
from autopeft.data.folds import folder_of
from autopeft.errors import TrialError
from autopeft.machine import cores
from autopeft.methods import METHODS
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.tasks import TASKS
from autopeft.tasks import metric as metrics
from autopeft.tasks.encode import Encoded, encode
from autopeft.train.attempt import Attempt, Order, Outcome
from autopeft.train.costs import free_bytes, used_bytes
from autopeft.train.device import default_device
from autopeft.train.epochs import evaluated_epochs
from autopeft.train.evaluate import outputs
from autopeft.train.fit import Watch
from autopeft.train.padding import Padding
from autopeft.train.precision import Plan
from autopeft.train.probe import PROBE_ROWS, Probe
from autopeft.train.recycle import Recycled
from autopeft.train.recycled_splits import RecycledSplits
from autopeft.train.scale import Scale, output_layer
from autopeft.train.shortage import disk_refusal, is_out_of_memory, release


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
        threads: most processor threads of this process; None for as many as it may use.
        frozen: folder for the recycled states of frozen layers; None for one beside the data.
        also: further splits, on which the outputs of trained candidates are kept beside those on
            selection; a search has none, a benchmark may name ``test``.
        as_trained: whether a candidate's outputs and latency are those over the backbone that it
            was trained on instead of the delivered one: quicker, for benchmarks.
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
    also: tuple[str, ...] = ()
    as_trained: bool = False


class Session:
    """Trains candidates on one backbone, one after the other or in packs.

    The test split is never read here, unless the setting names it.

    Args:
        setting: what it is about.
        beside: a session on other rows, whose backbone it takes.

    Raises:
        ModelError: the backbone cannot be loaded.
    """

    def __init__(self, setting: Setting, beside: Session | None = None) -> None:
        from datasets import load_from_disk

        torch.set_num_threads(min(setting.threads or cores(), torch.get_num_threads()))
        self.setting = setting
        self.task = TASKS.get(setting.task)
        self.metric = metrics.METRICS.get(setting.metric)
        self.device = default_device()
        self.delivered: Backbone = beside.delivered if beside else self._loaded()
        tokenizer = self.delivered.tokenizer
        longest = self.delivered.shape.positions or setting.max_length
        self.setting = dataclasses.replace(setting, max_length=min(setting.max_length, longest))
        self.train, *evaluated = (
            encode(
                load_from_disk(str(Path(setting.data) / split)),
                tokenizer,
                max_length=self.setting.max_length,
            )
            for split in ("train", "selection", *setting.also)
        )
        self.evaluated = dict(zip(("selection", *setting.also), evaluated, strict=True))
        self.selection = self.evaluated["selection"]
        self.scale, self.tuned_head = Scale(), False
        if not self.task.categorical:
            self._standardise()
        self.probe = Probe(
            self.delivered,
            self._backbone_for,
            self.train,
            self.task.loss,
            padding=Padding(int(tokenizer.pad_token_id)),
            device=self.device,
        )
        self.plan = self.probe.fastest() if setting.plan is None else Plan(**setting.plan)
        if self.plan.threads is not None:
            torch.set_num_threads(min(self.plan.threads, torch.get_num_threads()))
        self.backbone: Backbone = beside.backbone if beside else self._backbone_for(self.plan)
        self.padding = Padding.of(tokenizer, self.backbone.model)
        self._other: tuple[int, Session] | None = None
        frozen = Recycled(Path(setting.frozen or Path(setting.data) / "frozen"))
        splits = {"train": self.train, "selection": self.selection}
        splits |= self.evaluated if setting.as_trained else {}
        self.recycled = RecycledSplits(self.backbone, splits, frozen, padding=self.padding)
        self.recycled_whole = RecycledSplits(
            self.delivered, self.evaluated, frozen, padding=self.padding
        )

    def on_fold(self, number: int) -> Session:
        """Return the session on a fold, 0 for this one; one more is kept."""
        if number == 0:
            return self
        if self._other is None or self._other[0] != number:
            data = str(folder_of(Path(self.setting.data), number))
            setting = dataclasses.replace(self.setting, data=data, plan=self.plan.to_json())
            self._other = number, Session(setting, beside=self)
        return self._other[1]

    def _loaded(self) -> Backbone:
        found = load_backbone(
            self.setting.model,
            auto_class=self.task.auto_class,
            model_options=self.task.model_options(self.setting.labels),
            dtype=torch.float32,
        )
        found.model.to(self.device)
        return found

    @property
    def pace(self) -> dict[str, Any]:
        """What the time of a training is expected from.

        That is the backbone, the rows, and the seconds that a row takes: in a training step, and
        when it is scored.
        """
        return {
            "shape": self.delivered.shape.to_json(),
            "rows": [len(self.train.targets), len(self.selection.targets)],
            "row_seconds": (self.plan.seconds_per_step or 0.1) / PROBE_ROWS,
            "scoring_seconds": self._scoring_seconds,
        }

    @property
    def _scoring_seconds(self) -> float:
        """What scoring a row of the selection split is expected to take."""
        return (self.plan.seconds_per_token or 0.0) * float(self.selection.lengths.mean())

    def forward_seconds(self, rows: int, layers: int) -> float:
        """Return the expected time of so many rows in the lowest layers, nothing being trained."""
        return layers / self.delivered.shape.layers * rows * self._scoring_seconds

    def evaluated_epochs(self, epochs: int) -> range:
        """Return the epochs, from 1, after which a training of so many is evaluated."""
        return evaluated_epochs(
            epochs,
            train_rows=len(self.train.targets),
            selection_rows=len(self.selection.targets),
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

        A training that its deadline cut short counts as stopped, or with `Order.keep` as finished,
        unless it is of no use as it is.

        Where a pack fails, what has not ended is trained again in two halves, so that the fault is
        laid at the door of the candidate that has it. Where memory runs out for one alone, its
        batch is cut in halves, then quarters and so on, with gradients accumulated, so that an
        optimizer step still sees the whole batch.

        Args:
            orders: of candidates of one `autopeft.methods.pack_key`, or a single one.
            seed: of the order of the rows, and of every candidate's head, adapter and dropout.
            ended: gets the place in `orders` and what came of it, as soon as one has ended: its
                error, or plain values ``stopped``, ``message``, ``cut_share``, ``curve``,
                ``score``, ``metrics``, ``costs``, and of a training that came to its end ``gates``:
                the means over the selection rows; and ``scoring_seconds``, for a row through all
                layers, where none of them was recycled.
            rungs: shares of the training at which `watch` is asked.
            watch: knows members by their place in `orders`.

        Raises:
            OSError: the disk refuses what is to be saved.
        """
        missing = dict(enumerate(orders))

        def settle(number: int, outcome: Outcome) -> None:
            del missing[number]
            ended(number, outcome)

        waiting = [(list(missing), 1)]
        while waiting:
            group, parts = waiting.pop(0)
            attempt = Attempt(self, seed=seed, rungs=rungs, watch=watch or Watch(), parts=parts)
            try:
                attempt.run({number: missing[number] for number in group}, settle)
            except Exception as error:
                refusal = disk_refusal(error)
                if refusal is not None:
                    raise refusal from None
                left = [number for number in group if number in missing]
                half = len(left) // 2
                if half:
                    _log(error)
                    waiting = [(left[:half], 1), (left[half:], 1), *waiting]
                elif left and _smaller_would_do(error, missing[left[0]].candidate, parts):
                    waiting.insert(0, (left, 2 * parts))
                elif left:
                    settle(left[0], _failure(error))
            finally:
                release(self.device)

    def outputs(self, model: torch.nn.Module, encoded: Encoded) -> np.ndarray:
        """Return the logits (N, C) of a model on a split."""
        return outputs(model, encoded, padding=self.padding, device=self.device)

    def scores(self, values: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return every metric of the task for outputs (N, C) and targets (N,)."""
        predicted = self.task.predictions(values)
        return {name: metrics.score(name, targets, predicted) for name in self.task.metrics}

    @property
    def sign(self) -> float:
        return 1.0 if self.metric.higher_is_better else -1.0

    def _standardise(self) -> None:
        """Let training see targets of mean 0 and standard deviation 1."""
        name, layer = output_layer(self.delivered.model, self.delivered.heads)
        self.tuned_head = name not in self.delivered.fresh
        self.scale = Scale.of(self.train.targets, centred=layer.bias is not None)
        targets = self.scale.shrink(self.train.targets)
        self.train = dataclasses.replace(self.train, targets=targets)

    def goodness(self, values: np.ndarray) -> float:
        predicted = self.task.predictions(self.scale.restore(values))
        return self.sign * metrics.score(self.setting.metric, self.selection.targets, predicted)

    def shown_by(self, watch: Watch) -> Watch:
        """Return a watch that is told scores in the metric's own direction."""
        return dataclasses.replace(
            watch,
            on_rung=lambda points: watch.on_rung({n: self.shown(p) for n, p in points.items()}),
        )

    def shown(self, point: RungPoint) -> RungPoint:
        return dataclasses.replace(point, score=self.sign * point.score)

    def is_constant(self, values: np.ndarray) -> bool:
        predicted = self.task.predictions(values)
        return len(predicted) > 1 and bool(np.ptp(predicted) < 1e-6 * self.scale.spread)

    def precision_for(self, method: str) -> tuple[Backbone, torch.dtype | None]:
        """Return the backbone to train on and the dtype of autocast, if any.

        A method that trains base weights needs them in float32, so it reaches low precision
        through autocast.
        """
        if self.trains_on_its_backbone(method):
            return self.backbone, None
        full = Plan(dtype="float32", attention=self.plan.attention)
        return self._backbone_for(full), self.plan.torch_dtype

    def trains_on_its_backbone(self, method: str) -> bool:
        """Return whether a method trains on `backbone` as it is, in its dtype."""
        return METHODS.get(method).low_precision or self.plan.dtype == "float32"

    def _backbone_for(self, plan: Plan) -> Backbone:
        model = cast_weights(share(self.delivered.model), plan.torch_dtype)
        return set_attention(dataclasses.replace(self.delivered, model=model), plan.attention)


def _smaller_would_do(error: Exception, candidate: Candidate, parts: int) -> bool:
    """Return whether to try again with the batch in more parts."""
    return is_out_of_memory(error) and parts < candidate.batch_size


def _failure(error: Exception) -> TrialError:
    """Return what a training failed of."""
    _log(error)
    if is_out_of_memory(error):
        said = str(error).splitlines() or [type(error).__name__]
        return TrialError(Cause.OUT_OF_MEMORY, said[0])
    return TrialError(Cause.BUG, f"{type(error).__name__}: {error}")


def _log(error: Exception) -> None:
    """Write what a training failed of to the worker's log, a fault of ours whole."""
    if is_out_of_memory(error):
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error)


def open_session(message: Mapping[str, Any]) -> tuple[Session, dict[str, Any]]:
    """Build a session from a supervisor's message; return it with what the supervisor must know."""
    started = time.monotonic()
    names = [field.name for field in dataclasses.fields(Setting) if field.name in message]
    values = {name: message[name] for name in names}
    session = Session(Setting(**{**values, "labels": tuple(message["labels"])}))
    release(session.device)
    gc.freeze()  # what is here now stays, so that looking for garbage between trials is quick
    return session, {
        **session.pace,
        "plan": session.plan.to_json(),
        "device": _device_name(session.device),
        "notes": list(session.delivered.notes),
        "longest": int(max(session.train.lengths.max(), session.selection.lengths.max())),
        "truncated": session.train.truncated + session.selection.truncated,
        "idle_bytes": used_bytes(session.device),
        "free_bytes": free_bytes(session.device),
        "bytes_per_token": session.plan.bytes_per_token,
        "evaluation_bytes": session.plan.evaluation_bytes,
        "max_length": session.setting.max_length,
        "open_seconds": time.monotonic() - started - session.probe.seconds,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
