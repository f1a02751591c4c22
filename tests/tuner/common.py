"""Tiny models, recipes on them, and adapters whose weights are far from where they start."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from autopeft.backbone.head import head_modules
from autopeft.backbone.outline import backbone_shape
from autopeft.backbone.quiet import quiet
from autopeft.deltas import Part
from autopeft.deltas.gate import Gate
from autopeft.methods import METHODS
from autopeft.records import Placement
from autopeft.tuner import AutoPeftConfig, DeltaLayer

CLOSE = 1e-5
NEVER = -1e9
"""A gate's bias that makes its sigmoid exactly 0."""


def tiny(folder: Path) -> PreTrainedModel:
    """Return the classifier in a folder of `tests.tiny`, with the same head every time."""
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=2, pad_token_id=0, dtype=torch.float32
        )
    return model.eval().requires_grad_(False)


def parts(
    model: PreTrainedModel, method: str, *, placement: Placement | None = None, **knobs: Any
) -> list[Part]:
    """Return the parts of a method on a model, with its defaults where nothing else is said."""
    info = METHODS.get(method)
    values = {name: knob.default for name, knob in info.knobs.items()} | knobs
    assert info.recipe is not None
    shape = backbone_shape(model, head_modules(model, ()))
    return list(info.recipe(shape, placement or info.placement, values))


def gated(some: Sequence[Part], gate: str = "own") -> list[Part]:
    """Return parts behind gates, which read what the parts read."""
    width = {"output": "fan_out"}
    return [
        replace(part, gate=gate, gate_width=getattr(part, width.get(part.reads, "fan_in")))
        for part in some
    ]


def shared_gates(model: PreTrainedModel) -> list[Part]:
    """Return updates of q and v of each layer behind one gate, which reads the layer's q input."""
    query = {part.layer: part for part in parts(model, "lora") if part.site == "attn.q"}
    return [
        replace(
            part,
            gate=f"layer{part.layer}",
            gate_reads=query[part.layer].module,
            gate_width=part.fan_in,
        )
        for part in parts(model, "lora")
    ]


def adapted(model: PreTrainedModel, some: Sequence[Part], *, seed: int = 1) -> PeftModel:
    """Return the model with parts on it, their weights drawn anew; the model itself is wrapped."""
    return randomised(wrapped(model, config(some, model)), seed)


def wrapped(model: PreTrainedModel, made: PeftConfig) -> PeftModel:
    """Return peft's model of a configuration, without peft's advice on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, made).eval()


def loaded_from(
    folder: Path, model: PreTrainedModel, adapter: str = "other", **options: Any
) -> PeftModel:
    """Return a model with the adapter in a folder, as peft loads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(model, folder, adapter_name=adapter, **options).eval()


def config(some: Sequence[Part], model: PreTrainedModel) -> AutoPeftConfig:
    """Return the configuration of an adapter that trains the head too."""
    return AutoPeftConfig(
        parts=[part.to_json() for part in some],
        modules_to_save=list(head_modules(model, ())),
        task_type="SEQ_CLS",
    )


def randomised(model: Any, seed: int, adapter: str = "default") -> Any:
    """Draw the weights of an adapter anew, by a seed."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".autopeft_" in name and f".{adapter}." in name:
                noise = torch.randn(parameter.shape, generator=draw)
                parameter.copy_(1 + 0.3 * noise if name.endswith("factors") else 0.3 * noise)
    return model


def shut(model: nn.Module) -> None:
    """Set every gate to exactly 0."""
    for module in model.modules():
        if isinstance(module, Gate):
            nn.init.constant_(module.linear.bias, NEVER)


def inputs(rows: int = 4, length: int = 9, *, left: bool = False) -> dict[str, Tensor]:
    """Return a batch of texts of many lengths, padded on the right or on the left."""
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 100, (rows, length), generator=draw)
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        mask[row, length - 2 * row :] = 0
    mask = mask.flip(1) if left else mask
    return {"input_ids": ids * mask, "attention_mask": mask}


def logits(model: nn.Module, batch: dict[str, Tensor] | None = None) -> Tensor:
    """Return the logits of a batch."""
    with torch.no_grad():
        return model(**(batch or inputs())).logits


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference."""
    return (one - other).abs().max().item()


def layers(model: nn.Module) -> dict[str, DeltaLayer]:
    """Return the layers with deltas, by the name of their module."""
    return {m.name: m for m in model.modules() if isinstance(m, DeltaLayer)}
