"""What peft has a method for, as a plain adapter of peft.

A low-rank update is peft's LoRA, also where it began within the weight or its magnitude is apart; a
scale is its IA3, a norm its LN tuning, an offset to every bias its LoRA with ``bias="all"``; and so
on, see `_FORMS`. An adapter of peft has one setting for all modules, so parts with unequal settings
have no such form, nor have parts that are gated, mixed or share weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from torch import Tensor

from autopeft.deltas import Part
from autopeft.deltas.delta import transposed

State = Mapping[str, Tensor]


class Placed(NamedTuple):
    """A part with its delta and the frozen module it sits at."""

    part: Part
    delta: Any
    base: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How parts of one kind of delta are written.

    Args:
        config: of the adapter, from all parts.
        weights: of a part, by what peft calls them at its module.
        shared: weights that are no module's, from any part.
        own: settings in which the parts may differ.
    """

    config: Callable[[Sequence[Placed]], PeftConfig]
    weights: Callable[[Placed], State]
    shared: Callable[[Placed], State] = lambda _one: {}
    own: frozenset[str] = frozenset()

    def fits(self, parts: Sequence[Part]) -> bool:
        """Return whether parts are equal in all that peft has one setting for."""
        return all(self._set(part) == self._set(parts[0]) for part in parts)

    def _set(self, part: Part) -> tuple[float, dict[str, Any]]:
        return part.dropout, {k: v for k, v in part.settings.items() if k not in self.own}


def native(placed: Sequence[Placed]) -> tuple[PeftConfig, dict[str, Tensor]] | None:
    """Return the configuration and the weights of a plain peft adapter, None where there is none.

    The names of the weights begin at the model that peft wraps.
    """
    parts = [one.part for one in placed]
    form = _FORMS.get(parts[0].delta)
    if form is None or any(p.delta != parts[0].delta or p.gate or p.shares for p in parts):
        return None
    if not form.fits(parts):
        return None
    weights = dict(form.shared(placed[0]))
    for one in placed:
        found = form.weights(one)
        weights |= {f"model.{one.part.module}.{name}": value for name, value in found.items()}
    return form.config(placed), {name: value.detach() for name, value in weights.items()}


def _modules(placed: Sequence[Placed]) -> list[str]:
    return [one.part.module for one in placed]


def _transposed(placed: Sequence[Placed]) -> bool:
    return any(transposed(one.base) for one in placed)


def _lora_config(placed: Sequence[Placed], *, dora: bool = False) -> PeftConfig:
    part = placed[0].part
    rank = int(part.settings["r"])
    return LoraConfig(
        r=rank,
        lora_alpha=part.settings.get("alpha", rank) if part.settings.get("scaled", True) else rank,
        lora_dropout=part.dropout,
        use_rslora=bool(part.settings.get("rslora", False)),
        use_dora=dora,
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )


def _dora_config(placed: Sequence[Placed]) -> PeftConfig:
    return _lora_config(placed, dora=True)


def _lora_within_config(placed: Sequence[Placed]) -> PeftConfig:
    """Return a LoRA of twice the rank; α doubles with it, so that the scale stays."""
    settings = placed[0].part.settings
    return LoraConfig(
        r=2 * int(settings["r"]),
        lora_alpha=2 * settings["alpha"],
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )


def _vera_config(placed: Sequence[Placed]) -> PeftConfig:
    """Return a VeRA with its projections, so that any version of torch can load it."""
    settings = placed[0].part.settings
    return VeraConfig(
        r=int(settings["r"]),
        d_initial=settings["d_initial"],
        save_projection=True,
        fan_in_fan_out=_transposed(placed),
        target_modules=_modules(placed),
    )


def _loha_config(placed: Sequence[Placed]) -> PeftConfig:
    settings = placed[0].part.settings
    return LoHaConfig(
        r=int(settings["r"]), alpha=settings["alpha"], target_modules=_modules(placed)
    )


def _lokr_config(placed: Sequence[Placed]) -> PeftConfig:
    settings = placed[0].part.settings
    return LoKrConfig(
        r=int(settings["r"]),
        alpha=settings["alpha"],
        decompose_factor=int(settings["factor"]),
        target_modules=_modules(placed),
    )


def _ia3_config(placed: Sequence[Placed]) -> PeftConfig:
    return IA3Config(
        target_modules=_modules(placed),
        feedforward_modules=[one.part.module for one in placed if one.part.changes == "input"],
        fan_in_fan_out=_transposed(placed),
    )


def _ln_tuning_config(placed: Sequence[Placed]) -> PeftConfig:
    return LNTuningConfig(target_modules=_modules(placed))


def _bitfit_config(_placed: Sequence[Placed]) -> PeftConfig:
    return LoraConfig(r=1, bias="all", target_modules=DUMMY_TARGET_MODULES)


def _lora(one: Placed) -> State:
    return {"lora_A.weight": one.delta.a, "lora_B.weight": one.delta.b}


def _dora(one: Placed) -> State:
    return {**_lora(one), "lora_magnitude_vector": one.delta.magnitude}


def _lora_within(one: Placed) -> State:
    a, b = one.delta.doubled()
    return {"lora_A.weight": a, "lora_B.weight": b}


def _vera(one: Placed) -> State:
    return {"vera_lambda_d": one.delta.d, "vera_lambda_b": one.delta.b}


def _vera_projections(one: Placed) -> State:
    a, b = one.delta.projections()
    return {"vera_A": a, "vera_B": b}


def _loha(one: Placed) -> State:
    delta = one.delta
    return {
        "hada_w1_a": delta.b1,
        "hada_w1_b": delta.a1,
        "hada_w2_a": delta.b2,
        "hada_w2_b": delta.a2,
    }


def _lokr(one: Placed) -> State:
    names = {"u": "lokr_w1", "v": "lokr_w2", "b": "lokr_w2_a", "a": "lokr_w2_b"}
    return {names[name]: value for name, value in one.delta.named_parameters()}


def _ia3(one: Placed) -> State:
    shape = (1, -1) if one.part.changes == "input" else (-1, 1)
    return {"ia3_l": one.delta.factors.view(shape)}


def _ln_tuning(one: Placed) -> State:
    weight, bias = one.delta.folded(one.base.weight, getattr(one.base, "bias", None))
    found = {"ln_tuning_layers.weight": weight}
    return found if bias is None else {**found, "ln_tuning_layers.bias": bias}


def _bitfit(one: Placed) -> State:
    return {"bias": one.base.bias + one.delta.offset.view_as(one.base.bias)}


_FORMS: Mapping[str, _Form] = {
    "low_rank": _Form(config=_lora_config, weights=_lora),
    "low_rank_within": _Form(config=_lora_within_config, weights=_lora_within),
    "weight_decomposed": _Form(config=_dora_config, weights=_dora),
    "random_projection": _Form(config=_vera_config, weights=_vera, shared=_vera_projections),
    "hadamard": _Form(config=_loha_config, weights=_loha),
    "kronecker_product": _Form(
        config=_lokr_config, weights=_lokr, own=frozenset({"rows", "columns", "low"})
    ),
    "scale": _Form(config=_ia3_config, weights=_ia3),
    "norm": _Form(config=_ln_tuning_config, weights=_ln_tuning, own=frozenset({"bias"})),
    "bias": _Form(config=_bitfit_config, weights=_bitfit),
}
