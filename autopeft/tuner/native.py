"""The form in which an adapter is delivered: plain peft where peft has the method.

A low-rank update is peft's LoRA, also where it began within the weight or its magnitude is apart; a
scale is its IA3, a norm its LN tuning, an offset to every bias its LoRA with ``bias="all"``; and so
on, see `_NATIVE`. Whatever is gated, or mixed, or has no counterpart, stays ours; there a
prefix loses its re-parametrisation, which only training needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peft import (
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftConfig,
    VeraConfig,
)
from peft.utils.constants import DUMMY_TARGET_MODULES
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.deltas.bias import Bias
from autopeft.deltas.delta import Delta, transposed
from autopeft.deltas.hadamard import Hadamard
from autopeft.deltas.kronecker_product import KroneckerProduct
from autopeft.deltas.low_rank import LowRank
from autopeft.deltas.low_rank_within import LowRankWithin
from autopeft.deltas.mixed_prompt import MixedPrompt
from autopeft.deltas.norm import Norm
from autopeft.deltas.prefix import Prefix
from autopeft.deltas.random_projection import RandomProjection
from autopeft.deltas.scale import Scale
from autopeft.deltas.verbaliser import Verbaliser
from autopeft.deltas.weight_decomposed import WeightDecomposed
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
    settings = _equal_settings(placed)
    if settings is None:
        return None
    rank = int(settings["r"])
    config = LoraConfig(
        r=rank,
        lora_alpha=settings.get("alpha", rank) if settings.get("scaled", True) else rank,
        lora_dropout=placed[0][0].dropout,
        use_rslora=bool(settings.get("rslora", False)),
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, LowRank | WeightDecomposed)
        weights[f"{_ROOT}{part.module}.lora_A.weight"] = delta.a.detach()
        weights[f"{_ROOT}{part.module}.lora_B.weight"] = delta.b.detach()
    return config, weights


def _dora(placed: Placed) -> tuple[PeftConfig, State] | None:
    made = _lora(placed)
    if made is None:
        return None
    config, weights = made
    config.use_dora = True
    for part, delta, _ in placed:
        assert isinstance(delta, WeightDecomposed)
        weights[f"{_ROOT}{part.module}.lora_magnitude_vector"] = delta.magnitude.detach()
    return config, weights


def _lora_within(placed: Placed) -> tuple[PeftConfig, State] | None:
    """Return a LoRA of twice the rank; α doubles with it, so that the scale stays."""
    settings = _equal_settings(placed)
    if settings is None:
        return None
    config = LoraConfig(
        r=2 * int(settings["r"]),
        lora_alpha=2 * settings["alpha"],
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, LowRankWithin)
        a, b = delta.doubled()
        weights[f"{_ROOT}{part.module}.lora_A.weight"] = a.detach()
        weights[f"{_ROOT}{part.module}.lora_B.weight"] = b.detach()
    return config, weights


def _vera(placed: Placed) -> tuple[PeftConfig, State] | None:
    """Return a VeRA with its projections, so that any version of torch can load it."""
    settings = _equal_settings(placed)
    if settings is None:
        return None
    config = VeraConfig(
        r=int(settings["r"]),
        d_initial=settings["d_initial"],
        save_projection=True,
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, RandomProjection)
        weights["base_model.vera_A"], weights["base_model.vera_B"] = delta.projections()
        weights[f"{_ROOT}{part.module}.vera_lambda_d"] = delta.d.detach()
        weights[f"{_ROOT}{part.module}.vera_lambda_b"] = delta.b.detach()
    return config, weights


def _loha(placed: Placed) -> tuple[PeftConfig, State] | None:
    settings = _equal_settings(placed)
    if settings is None:
        return None
    config = LoHaConfig(
        r=int(settings["r"]), alpha=settings["alpha"], target_modules=_modules(placed)
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, Hadamard)
        key = f"{_ROOT}{part.module}.hada_w"
        weights[f"{key}1_a"], weights[f"{key}1_b"] = delta.b1.detach(), delta.a1.detach()
        weights[f"{key}2_a"], weights[f"{key}2_b"] = delta.b2.detach(), delta.a2.detach()
    return config, weights


def _lokr(placed: Placed) -> tuple[PeftConfig, State] | None:
    first = placed[0][0].settings
    named = ("r", "alpha", "factor")
    if any(part.settings[name] != first[name] for part, _, _ in placed for name in named):
        return None
    config = LoKrConfig(
        r=int(first["r"]),
        alpha=first["alpha"],
        decompose_factor=int(first["factor"]),
        target_modules=_modules(placed),
    )
    weights: State = {}
    for part, delta, _ in placed:
        assert isinstance(delta, KroneckerProduct)
        key = f"{_ROOT}{part.module}.lokr_w"
        names = {"u": "1", "v": "2", "b": "2_a", "a": "2_b"}
        for name, value in delta.named_parameters():
            weights[f"{key}{names[name]}"] = value.detach()
    return config, weights


def _equal_settings(placed: Placed) -> Mapping[str, Any] | None:
    """Return the settings that all parts have, None if they or the dropout differ."""
    first = placed[0][0]
    differ = any(p.settings != first.settings or p.dropout != first.dropout for p, _, _ in placed)
    return None if differ else first.settings


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
    "low_rank_within": _lora_within,
    "weight_decomposed": _dora,
    "random_projection": _vera,
    "hadamard": _loha,
    "kronecker_product": _lokr,
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
