"""The form in which an adapter is delivered: plain peft where peft has the method, else ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from peft import PeftConfig
from torch import Tensor

from autopeft.deltas.mixed_prompt import MixedPrompt
from autopeft.deltas.prefix import Prefix
from autopeft.deltas.verbaliser import Verbaliser
from autopeft.tuner.config import AutoPeftConfig
from autopeft.tuner.layer import DeltaLayer
from autopeft.tuner.native import Placed, native

_ROOT = "base_model."


def delivered(model: Any, state: Mapping[str, Tensor]) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Return the configuration and the weights under which an adapted model is written.

    Args:
        model: a `peft.PeftModel` with our adapter ``default``.
        state: what peft would write of it.
    """
    config: AutoPeftConfig = model.peft_config["default"]
    placed = _placed(model, config)
    found = native(placed)
    if found is None:
        made, weights = _settled(config, placed, state)
    else:
        made, weights = found[0], {f"{_ROOT}{name}": value for name, value in found[1].items()}
        weights |= {name: value for name, value in state.items() if ".autopeft_" not in name}
    made.modules_to_save, made.task_type = config.modules_to_save, config.task_type
    made.base_model_name_or_path = config.base_model_name_or_path
    return made, weights


def _placed(model: Any, config: AutoPeftConfig) -> list[Placed]:
    found: list[Placed] = []
    layers = {m.name: m for m in model.modules() if isinstance(m, DeltaLayer)}
    for name in dict.fromkeys(part.module for part in config.placed()):
        layer = layers[name]
        base = layer.get_base_layer()
        found += [Placed(actor.part, actor.delta, base) for actor in layer.deltas().actors]
    return found


def _settled(
    config: AutoPeftConfig, placed: Sequence[Placed], state: Mapping[str, Tensor]
) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Return our own form, without what only training needs: a prefix's re-parametrisation."""
    weights = {name: value.detach() for name, value in state.items()}
    parts = []
    seen: dict[str, int] = {}
    for part, delta, _ in placed:
        index = seen[part.module] = seen.get(part.module, -1) + 1
        if isinstance(delta, Prefix) and part.settings.get("inner"):
            key = f"{_ROOT}model.{part.module}.autopeft_deltas.deltas.{index}."
            weights = {name: value for name, value in weights.items() if not name.startswith(key)}
            weights |= {f"{key}{name}": value for name, value in delta.settled().items()}
            part = replace(part, settings={"tokens": part.settings["tokens"]})
        if isinstance(delta, MixedPrompt | Verbaliser):
            part = replace(part, settings=delta.settled(part.settings))
        parts.append(part.to_json())
    return AutoPeftConfig(method=config.method, parts=parts), weights
