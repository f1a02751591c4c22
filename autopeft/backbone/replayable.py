"""Whether the layers of a model can be replayed: found by trying, before anything relies on it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autopeft.backbone.mode import evaluating
from autopeft.backbone.replay import Replay, inner_model, record, replayed_layers

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def replayable(model: nn.Module) -> str | None:
    """Return why the layers of a model cannot be replayed, None if they can.

    It is tried: on an input of a few tokens, or of a blank image, the outputs with the lowest k
    layers replayed must equal the model's own bit by bit, for every k. That takes about as many
    short passes as there are layers. The model's mode is restored afterwards.

    Args:
        model: the backbone with its head, adapted or not.
    """
    import torch

    inner = inner_model(model)
    name = inner.config.model_type
    layers = replayed_layers(model)
    if not layers:
        return f"{name} has no layers"
    try:
        inputs = _example(inner)
        if inputs is None:
            return f"{name} reads neither texts nor images"
        with evaluating(model), torch.no_grad():
            if _order(model, layers, inputs) != list(range(len(layers))):
                return f"the layers of {name} do not run once each, one after the other"
            plain = _first(model(**inputs))
            for k in range(1, len(layers) + 1):
                states = record(model, k, inputs)
                if states.dim() != 3 or not _as_long(states, inputs):
                    return f"the layers of {name} do not keep a state for each token"
                with Replay(model, k) as replay:
                    replay.states = states
                    if not torch.equal(_first(model(**inputs)), plain):
                        return f"{name} gives other outputs with {k} of its layers replayed"
    except Exception as error:  # of whatever kind: the model's authors chose it
        said = (str(error) or type(error).__name__).splitlines()[0]
        return f"a pass through {name} with replayed layers failed: {said}"
    return None


def _example(model: PreTrainedModel) -> dict[str, Tensor] | None:
    """Return a short input, None if the model wants something else than texts or images."""
    import torch

    config: Any = model.config
    if model.main_input_name == "pixel_values":
        size = config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        blank = torch.zeros(1, config.num_channels, height, width)
        return {"pixel_values": blank.to(model.device, model.dtype)}
    if model.main_input_name != "input_ids":
        return None
    ids = torch.arange(1, 8).clamp(max=config.vocab_size - 1)
    last = getattr(config, "eos_token_id", None)
    last = last[0] if isinstance(last, list) else last
    if last is not None:  # the classifiers of T5 and its kind read at the one end of a text
        ids = torch.cat([ids[ids != last], torch.tensor([last])])
    ids = ids[None].to(model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _order(
    model: nn.Module, layers: tuple[nn.Module, ...], inputs: Mapping[str, Tensor]
) -> list[int]:
    """Return the numbers of the layers in the order in which they run."""
    ran: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(functools.partial(_note, ran, index))
        for index, layer in enumerate(layers)
    ]
    try:
        model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return ran


def _note(ran: list[int], index: int, module: nn.Module, args: object) -> None:
    del module, args
    ran.append(index)


def _as_long(states: Tensor, inputs: Mapping[str, Tensor]) -> bool:
    ids = inputs.get("input_ids")
    return ids is None or states.shape[:2] == ids.shape


def _first(output: Any) -> Tensor:
    found: Tensor = output[0]
    return found
