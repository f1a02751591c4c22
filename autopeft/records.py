"""What passes between the layers: candidates, backbone shapes, costs and trial records.

Standard library only, so that a run can be read, priced and reported without torch or optuna.
Every record turns into plain JSON and back with `to_json` and `from_json`.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Scalar = bool | int | float | str

SITES = (
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.qkv",
    "attn.out",
    "ffn.in",
    "ffn.out",
    "norm",
)
"""Sites that are modules of a backbone; ``attn.qkv`` stands for a fused projection."""

BLOCK_SITES = ("attn.block", "ffn.block", "attn.prefix")
"""Sites of which every layer has one, whatever its modules: in or beside the attention or the
feed-forward as a whole, and before the attention's keys and values."""


REFERENCES = ("default", "head")
"""Origins of the trials that every choice is told against: default LoRA and the head alone."""


class TrialState(enum.StrEnum):
    """What became of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"  # trained to the end
    STOPPED = "stopped"  # a rung said that others are better
    FAILED = "failed"  # see its cause


class Cause(enum.StrEnum):
    """Why a trial failed."""

    OUT_OF_MEMORY = "out-of-memory"
    NON_FINITE = "non-finite-loss"
    CONSTANT = "constant-predictions"
    TIMEOUT = "time-out"
    WORKER_DIED = "worker-died"
    INTERRUPTED = "interrupted"
    BUG = "bug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which sites of which layers a candidate adapts.

    Args:
        sites: names from `SITES` and `BLOCK_SITES`; on a backbone with a fused projection
            ``attn.q``, ``attn.k`` and ``attn.v`` mean ``attn.qkv``.
        layers: ``"all"``, ``"top:K"`` (the K layers next to the head), ``"bottom:K"``, ``"A-B"``
            (both ends included, counted from 0 next to the embeddings), or ``"mask:BITS"`` (one
            bit per layer, the first for the one next to the embeddings).
    """

    sites: tuple[str, ...]
    layers: str = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One configuration to train: method, knobs, placement and training settings.

    Args:
        method: a name from the method registry.
        knobs: the method's own settings, such as ``{"r": 8}``.
        placement: None for methods that have no sites to choose (head only, prompts, full).
        learning_rate: peak learning rate of AdamW; linear warm-up and linear decay.
        epochs: passes over the training split.
        batch_size: examples per optimizer step.
    """

    method: str
    learning_rate: float
    epochs: int
    batch_size: int = 16
    weight_decay: float = 0.0
    warmup_ratio: float = 0.06
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    placement: Placement | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; knobs sorted by name."""
        values = dataclasses.asdict(self)
        values["knobs"] = dict(sorted(self.knobs.items()))
        if self.placement is not None:
            values["placement"]["sites"] = list(self.placement.sites)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Candidate:
        """Rebuild a candidate from `to_json`."""
        place = values.get("placement")
        if place is not None:
            place = Placement(sites=tuple(place["sites"]), layers=place["layers"])
        return cls(**{**values, "placement": place})

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that are the same for equal candidates, on any machine."""
        return fingerprint(self.to_json())

    def describe(self) -> str:
        """Return one line for people, such as ``lora r=8 attn.q,attn.v top:3 lr=0.002 ×5``.

        Knobs that are off and the rule ``all`` are left out.
        """
        off = ("", "all")
        knobs = sorted((n, value) for n, value in self.knobs.items() if value and value not in off)
        parts = [self.method, *(f"{name}={value}" for name, value in knobs)]
        if self.placement is not None:
            parts.append(",".join(self.placement.sites))
            parts += [] if self.placement.layers == "all" else [self.placement.layers]
        return " ".join([*parts, f"lr={self.learning_rate:.2g}", f"×{self.epochs}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleShape:
    """A module of the backbone that can be adapted.

    Args:
        name: its dotted name in the model that carries the head.
        site: one of `SITES`, ``"embed.prompt"``, ``"embed.position"``, or of `BackboneShape.cross`.
        layer: counted from 0 next to the embeddings; -1 outside the layers.
        fan_in: width of its input (for a norm: its width).
        fan_out: width of its output.
        bias: length of its bias vector, 0 if it has none.
        outputs: how many projections are fused in it (3 for ``attn.qkv``), else 1.
    """

    name: str
    site: str
    layer: int
    fan_in: int
    fan_out: int
    bias: int
    outputs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneShape:
    """A backbone as plain numbers: all that is needed to price a candidate.

    Args:
        architecture: transformers' ``model_type``.
        kind: ``"encoder"``, ``"decoder"`` or ``"encoder-decoder"``.
        layers: number of transformer layers; of an encoder-decoder, the encoder's first, then the
            decoder's.
        hidden: width of the hidden state.
        heads: attention heads.
        kv_width: width of keys and values together over all key-value heads of one layer (each).
        vocabulary: rows of the word embedding, 0 for a model of images.
        positions: longest input, None if unlimited; of images, their patches and the class token.
        modules: every module that can be adapted.
        total_params: parameters of the backbone without head.
        biases: every module of the backbone with a bias, norms included, and the bias's length.
        head_params: parameters of the head (fresh and mismatched modules included).
        has_pad_token: whether padding can be told from text; images have none.
        embedding: the word embedding, from `vocabulary` to its width; None where there is none.
        positions_table: the embedding of absolute positions, of an encoder-decoder the encoder's;
            None where they are not learnt so.
        cross: the projections of a decoder's attention over the encoder, at sites ``cross.q``,
            ``cross.k``, ``cross.v`` and ``cross.out``, which no placement names.
        mask_token: the number of the token that stands for a gap; None where there is none.
        checkpoint: the folder or hub name of the weights; ``""`` where only numbers are known.
        attention_interface: whether its attention comes from transformers' interface, through which
            prefixes reach it; True where older records do not say.
        labels: outputs of the head: classes, or 1 for a number; 0 where older records do not say.
    """

    architecture: str
    kind: str
    layers: int
    hidden: int
    heads: int
    kv_width: int
    vocabulary: int
    positions: int | None
    modules: tuple[ModuleShape, ...]
    total_params: int
    biases: tuple[tuple[str, int], ...]
    head_params: int
    has_pad_token: bool = True
    embedding: ModuleShape | None = None
    positions_table: ModuleShape | None = None
    cross: tuple[ModuleShape, ...] = ()
    mask_token: int | None = None
    checkpoint: str = ""
    attention_interface: bool = True
    labels: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BackboneShape:
        """Rebuild a shape from `to_json`."""
        modules = tuple(ModuleShape(**module) for module in values["modules"])
        biases = tuple((name, length) for name, length in values["biases"])
        cross = tuple(ModuleShape(**module) for module in values.get("cross", ()))
        tables = {
            name: None if values.get(name) is None else ModuleShape(**values[name])
            for name in ("embedding", "positions_table")
        }
        return cls(**{**values, "modules": modules, "biases": biases, "cross": cross, **tables})


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The six prices of a candidate; what was not measured is None.

    Args:
        trainable_params: trained parameters without the head.
        head_params: parameters of the head.
        artifact_bytes: size of the adapter's weights on disk.
        peak_memory_bytes: highest memory of the training process above its idle level.
        train_seconds: wall-clock time of training, evaluation included.
        latency_seconds: inference time per example in a batch of 8.
    """

    trainable_params: int
    head_params: int | None = None
    artifact_bytes: int | None = None
    peak_memory_bytes: int | None = None
    train_seconds: float | None = None
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RungPoint:
    """What was measured when a trial reached a rung.

    Args:
        rung: counted from 0.
        share: share of the training steps done, in (0, 1].
        score: the metric on the selection split, as the metric prints it.
        wall_seconds: training time so far.
    """

    rung: int
    share: float
    score: float
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What is known of a trial.

    Args:
        number: the trial's number in the study.
        candidate: what was trained.
        seed: of head initialisation, adapter initialisation, dropout and data order.
        state: what became of it.
        origin: who proposed it: ``default``, ``head``, ``portfolio``, ``guide`` or ``tpe``; a trial
            that was lost and begun again keeps its origin.
        curve: one point per rung reached.
        score: the metric on the selection split with the weights that would be delivered.
        metrics: every metric of the task on the selection split.
        costs: the six prices.
        cause: of a failure.
        message: of a failure.
        artifact: folder of the trained adapter, relative to the run folder; None if there never was
            one. What no choice needs any more is removed from there.
        cut_share: share of the training steps after which the time limit ended it; None if it did
            not.
    """

    number: int
    candidate: Candidate
    seed: int
    state: TrialState
    origin: str
    costs: Costs
    curve: tuple[RungPoint, ...] = ()
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    cause: Cause | None = None
    message: str = ""
    artifact: str | None = None
    cut_share: float | None = None

    @property
    def last_score(self) -> float | None:
        """The score, or that at the last rung where training went no further; None without one."""
        if self.score is not None:
            return self.score
        return self.curve[-1].score if self.curve else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**dataclasses.asdict(self), "candidate": self.candidate.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Rebuild a record from `to_json`."""
        return cls(
            **{
                **values,
                "candidate": Candidate.from_json(values["candidate"]),
                "state": TrialState(values["state"]),
                "costs": Costs(**values["costs"]),
                "curve": tuple(RungPoint(**point) for point in values["curve"]),
                "cause": None if values["cause"] is None else Cause(values["cause"]),
            }
        )


def fingerprint(values: object) -> str:
    """Return twelve hex digits of the canonical JSON of `values`."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def layer_indices(rule: str, layers: int) -> tuple[int, ...]:
    """Return the layers that a `Placement.layers` rule names on a backbone of `layers` layers.

    Raises:
        ValueError: the rule is malformed, names no layer of this backbone, or is a mask for
            another number of layers.
    """
    every = range(layers)
    word, _, count = rule.partition(":")
    first, dash, last = rule.partition("-")
    if rule == "all":
        chosen = list(every)
    elif word in ("top", "bottom") and count.isdecimal():
        size = int(count)
        chosen = list(every[max(0, layers - size) :] if word == "top" else every[:size])
    elif dash and first.isdecimal() and last.isdecimal():
        chosen = list(every[int(first) : int(last) + 1])
    elif word == "mask" and count and not count.strip("01"):
        if len(count) != layers:
            raise ValueError(f"layers {rule!r} is for {len(count)} layers, not for {layers}")
        chosen = [layer for layer in every if count[layer] == "1"]
    else:
        raise ValueError(f"layers {rule!r}; allowed: {LAYER_RULES}")
    if not chosen:
        raise ValueError(f"layers {rule!r} names none of {layers} layers")
    return tuple(chosen)


LAYER_RULES = "all, top:K, bottom:K, A-B, mask:BITS"
"""What `layer_indices` understands, for people."""


def layer_rule(chosen: Iterable[int], layers: int) -> str:
    """Return the one way to write a choice of layers: the inverse of `layer_indices`.

    ``all`` comes before ``top:K`` before ``bottom:K`` before ``A-B`` before ``mask:BITS``.

    Args:
        chosen: at least one layer.
        layers: of the backbone.
    """
    named = sorted(set(chosen))
    if len(named) == layers:
        return "all"
    first, last = named[0], named[-1]
    if len(named) <= last - first:
        return "mask:" + "".join("01"[layer in named] for layer in range(layers))
    if last == layers - 1:
        return f"top:{len(named)}"
    return f"bottom:{len(named)}" if first == 0 else f"{first}-{last}"


def placed(shape: BackboneShape, placement: Placement) -> tuple[ModuleShape, ...]:
    """Return the modules of `shape` that `placement` names, fused projections included.

    A block site names no module: what sits there depends on the method.
    """
    layers = set(layer_indices(placement.layers, shape.layers))
    sites = set(placement.sites)
    if sites & {"attn.q", "attn.k", "attn.v"}:
        sites.add("attn.qkv")
    return tuple(m for m in shape.modules if m.layer in layers and m.site in sites)
