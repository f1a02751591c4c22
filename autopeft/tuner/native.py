"""The form in which an adapter is delivered: plain peft where peft has the method.

A low-rank update is peft's LoRA, a scale its IA3, a norm its LN tuning, an offset to every bias its
LoRA with ``bias="all"``. Whatever is gated, or mixed, or has no counterpart, stays ours; there a
prefix loses its re-parametrisation, which only training needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peft import IA3Config, LNTuningConfig, LoraConfig, PeftConfig
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.deltas.bias import Bias
from autopeft.deltas.delta import Delta, transposed
from autopeft.deltas.low_rank import LowRank
from autopeft.deltas.mixed_prompt import MixedPrompt
from autopeft.deltas.norm import Norm
from autopeft.deltas.prefix import Prefix
from autopeft.deltas.scale import Scale
from autopeft.deltas.verbaliser import Verbaliser
from autopeft.tuner.config import AutoPeftConfig
from autopeft.tuner.layer import DeltaLayer

State = dict[str, Tensor]
Placed = Sequence[tuple[Part, Delta, nn.Module]]
"""Every part with its delta and the frozen module it sits at."""

_ROOT = "base_model.model."


def delivered(model: Any, state: Mapping[str, Tensor]) -> tuple[PeftConfig, State]:
    """Return the configuration and the weights under which an adapted model is written.

    Args:
        model: a `peft.PeftModel` with our adapter ``default``.
        state: what peft would write of it.
    """
    config: AutoPeftConfig = model.peft_config["default"]
    placed = _placed(model, config)
    if is_native(config.placed()):
        made = _NATIVE[placed[0][0].delta](placed)
        if made is not None:
            named, weights = made
            named.modules_to_save = config.modules_to_save
            named.task_type, named.base_model_name_or_path = config.task_type, _base(config)
            return named, {**_of_head(state), **weights}
    return _settled(config, placed, state)


def is_native(parts: Sequence[Part]) -> bool:
    """Return whether parts of these kinds are delivered as a plain peft adapter."""
    kinds = {part.delta for part in parts}
    return (
        len(kinds) == 1 and kinds <= _NATIVE.keys() and not any(p.gate or p.shares for p in parts)
    )


def _placed(model: Any, config: AutoPeftConfig) -> Placed:
    found: list[tuple[Part, Delta, nn.Module]] = []
    layers = {m.name: m for m in model.modules() if isinstance(m, DeltaLayer)}
    for name in dict.fromkeys(part.module for part in config.placed()):
        layer = layers[name]
        base = layer.get_base_layer()
        found += [(actor.part, actor.delta, base) for actor in layer.deltas().actors]
    return found


def _base(config: AutoPeftConfig) -> str | None:
    name: str | None = config.base_model_name_or_path
    return name


def _of_head(state: Mapping[str, Tensor]) -> State:
    return {name: value for name, value in state.items() if ".autopeft_" not in name}


def _lora(placed: Placed) -> tuple[PeftConfig, State] | None:
    first = placed[0][0]
    if any(
        part.settings != first.settings or part.dropout != first.dropout for part, _, _ in placed
    ):
        return None
    settings = first.settings
    rank = int(settings["r"])
    config = LoraConfig(
        r=rank,
        lora_alpha=settings.get("alpha", rank) if settings.get("scaled", True) else rank,
        lora_dropout=first.dropout,
        use_rslora=bool(settings.get("rslora", False)),
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, LowRank)
        weights[f"{_ROOT}{part.module}.lora_A.weight"] = delta.a.detach()
        weights[f"{_ROOT}{part.module}.lora_B.weight"] = delta.b.detach()
    return config, weights


def _ia3(placed: Placed) -> tuple[PeftConfig, State]:
    inner = [part.module for part, _, _ in placed if part.changes == "input"]
    config = IA3Config(
        target_modules=_modules(placed),
        feedforward_modules=inner,
        fan_in_fan_out=_transposed(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, Scale)
        shape = (1, -1) if part.changes == "input" else (-1, 1)
        weights[f"{_ROOT}{part.module}.ia3_l"] = delta.factors.detach().view(shape)
    return config, weights


def _ln_tuning(placed: Placed) -> tuple[PeftConfig, State]:
    weights: State = {}
    for part, delta, base in placed:
        assert isinstance(delta, Norm)
        key = f"{_ROOT}{part.module}.ln_tuning_layers"
        bias = getattr(base, "bias", None)
        weight, new_bias = delta.folded(base.weight, bias)  # type: ignore[arg-type]
        weights[f"{key}.weight"] = weight.detach()
        if new_bias is not None:
            weights[f"{key}.bias"] = new_bias.detach()
    return LNTuningConfig(target_modules=_modules(placed)), weights


def _bitfit(placed: Placed) -> tuple[PeftConfig, State]:
    weights: State = {}
    for part, delta, base in placed:
        assert isinstance(delta, Bias) and isinstance(base.bias, Tensor)
        weights[f"{_ROOT}{part.module}.bias"] = (base.bias + delta.offset).detach()
    return LoraConfig(r=1, bias="all", target_modules=DUMMY_TARGET_MODULES), weights


_NATIVE: dict[str, Callable[[Placed], tuple[PeftConfig, State] | None]] = {
    "low_rank": _lora,
    "scale": _ia3,
    "norm": _ln_tuning,
    "bias": _bitfit,
}


def _settled(
    config: AutoPeftConfig, placed: Placed, state: Mapping[str, Tensor]
) -> tuple[PeftConfig, State]:
    """Return our own form, with what only training needs left out."""
    weights = {name: value.detach() for name, value in state.items()}
    parts = []
    seen: dict[str, int] = {}
    for part, delta, _ in placed:
        index = seen[part.module] = seen.get(part.module, -1) + 1
        if isinstance(delta, Prefix) and part.settings.get("inner"):
            key = f"{_ROOT}{part.module}.autopeft_deltas.deltas.{index}."
            weights = {name: value for name, value in weights.items() if not name.startswith(key)}
            weights |= {f"{key}{name}": value for name, value in delta.settled().items()}
            part = replace(part, settings={"tokens": part.settings["tokens"]})
        if isinstance(delta, MixedPrompt | Verbaliser):
            part = replace(part, settings=delta.settled(part.settings))
        parts.append(part.to_json())
    made = AutoPeftConfig(
        method=config.method,
        parts=parts,
        modules_to_save=config.modules_to_save,
        task_type=config.task_type,
        base_model_name_or_path=_base(config),
    )
    return made, weights


def _modules(placed: Placed) -> list[str]:
    return [part.module for part, _, _ in placed]


def _transposed(placed: Placed) -> bool:
    return any(transposed(base) for _, _, base in placed)
