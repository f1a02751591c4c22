"""What a training process keeps between trials: data, tokens, backbone, plan."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from autopeft.backbone.load import Backbone, load_backbone, set_attention
from autopeft.backbone.share import share
from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, load_trainable_state, trainable
from autopeft.methods.artifact import load_artifact, save_artifact
from autopeft.methods.mixture import kind_of
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.tasks import TASKS
from autopeft.tasks import metric as metrics
from autopeft.tasks.encode import Encoded, encode
from autopeft.train.batches import TrainingBatches, collate
from autopeft.train.costs import PeakMemory, latency_seconds
from autopeft.train.evaluate import outputs
from autopeft.train.fit import Fit, Watch, fit
from autopeft.train.precision import Plan
from autopeft.train.probe import PROBE_ROWS, Probe
from autopeft.train.scale import Scale, output_layer
from autopeft.train.shortage import is_out_of_memory, release
from autopeft.tuner import GateMean, reading_gates


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
    """

    data: str
    model: str
    task: str
    labels: tuple[str, ...]
    metric: str
    max_length: int
    plan: Mapping[str, Any] | None = None
    threads: int | None = None


class Session:
    """Trains candidates one after the other on one backbone.

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

    def trial(
        self,
        candidate: Candidate,
        *,
        seed: int,
        watch: Watch,
        artifact: Path,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Train a candidate; save its best weights and selection outputs if it gets to the end.

        A training that the deadline cut short counts as stopped, or with `keep` as finished.

        Where memory runs out, the batch is cut in halves, then quarters and so on, with gradients
        accumulated, so that an optimizer step still sees the whole batch.

        Returns:
            Plain values: ``stopped``, ``message``, ``curve``, ``score``, ``metrics``, ``costs``,
            and of a training that came to its end ``gates``: the means over the selection rows.

        Raises:
            TrialError: with the cause.
        """
        parts = 1
        while True:
            try:
                return self._attempt(candidate, seed, watch, artifact, keep, parts)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if parts >= candidate.batch_size:
                    said = str(error).splitlines() or [type(error).__name__]
                    raise TrialError(Cause.OUT_OF_MEMORY, said[0]) from error
            finally:
                release(self.device)
            parts *= 2

    def _attempt(
        self,
        candidate: Candidate,
        seed: int,
        watch: Watch,
        artifact: Path,
        keep: bool,
        parts: int,
    ) -> dict[str, Any]:
        batches = TrainingBatches(
            self.train,
            batch_size=candidate.batch_size,
            pad_token=self.pad_token,
            seed=seed,
            parts=parts,
        )
        backbone, autocast = self._precision_for(candidate.method)
        with PeakMemory(self.device) as memory:
            model = adapt(
                backbone, candidate, seed=seed, total_steps=batches.steps * candidate.epochs
            ).to(self.device)
            adapter_params, head_params = trainable(model)
            if self._tuned_head:
                self.scale.unfold(output_layer(model, self.delivered.heads)[1])
            torch.manual_seed(seed)
            result = fit(
                model,
                candidate,
                batches=batches,
                selection=self.selection,
                score=self._goodness,
                loss=self.task.loss,
                device=self.device,
                pad_token=self.pad_token,
                autocast=autocast,
                watch=dataclasses.replace(watch, on_rung=lambda p: watch.on_rung(self._shown(p))),
            )
        cut = result.cut_share
        stopped = result.stopped or (cut is not None and not keep)
        notes = [] if parts == 1 else [f"batches in {parts} parts, for memory"]
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
                "peak_memory_bytes": memory.extra_bytes,
                "train_seconds": result.train_seconds,
            },
        }
        if not stopped:
            self._finish(model, candidate, result, artifact, outcome)
        return outcome

    def _finish(
        self,
        model: torch.nn.Module,
        candidate: Candidate,
        result: Fit,
        artifact: Path,
        outcome: dict[str, Any],
    ) -> None:
        """Save the best weights and score them as they will be delivered."""
        assert result.weights is not None
        load_trainable_state(model, result.weights)
        if not self.task.categorical:
            self.scale.fold(output_layer(model, self.delivered.heads)[1])
        outcome["costs"]["artifact_bytes"] = save_artifact(model, artifact, candidate)
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
