"""The lowest layer that anything trains in: what lies below can be replayed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from autopeft.backbone.replay import inner_model, without_head
from autopeft.backbone.role import layer_stacks

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def lowest_trained_layer(model: nn.Module) -> int:
    """Return the lowest layer that anything trains in or changes: so many layers can be replayed.

    It is 0 as soon as something acts before or beside the layers: an embedding, a prompt, a norm or
    a bias outside them, whatever is not known to come later. It is the number of layers (of an
    encoder-decoder: of the encoder) if only the head, the pooler or the decoder trains.

    Args:
        model: ready to be trained: all that trains requires a gradient, and no adapter was merged
            into the weights. Every adapter counts, active or not.
    """
    from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    inner = inner_model(model)
    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    own = dict(inner.named_parameters(remove_duplicate=False))
    touched = [name for name, parameter in own.items() if parameter.requires_grad]
    touched += [name for name, module in inner.named_modules() if isinstance(module, kinds)]
    # what a tuner keeps for its layers acts where those are
    tuners = [module for module in model.modules() if isinstance(module, BaseTuner)]
    told = {id(parameter) for tuner in tuners for parameter in _kept(tuner)}
    told |= {id(parameter) for parameter in own.values()}
    if any(p.requires_grad and id(p) not in told for p in model.parameters()):
        return 0  # a prompt that the wrapper puts before the text
    return _lowest(inner, touched)


def _kept(tuner: Any) -> Iterable[nn.Parameter]:
    """Return what a tuner of peft holds itself."""
    return (p for name, p in tuner.named_parameters() if name.startswith(tuner.prefix))


def _lowest(model: PreTrainedModel, names: Iterable[str]) -> int:
    """Return the lowest layer that modules or parameters of these names bear upon."""
    prefix, base = without_head(model)
    stacks = layer_stacks(base)
    if not stacks:
        return 0
    stack, layers = stacks[0]
    decoder = f"{stacks[1][0].partition('.')[0]}." if len(stacks) > 1 else None

    def layer(name: str) -> int:
        if not name.startswith(prefix):
            return len(layers)
        within = name.removeprefix(prefix)
        if within.startswith(f"{stack}."):
            return int(within.removeprefix(f"{stack}.").partition(".")[0])
        later = "pooler" in within.split(".") or (decoder and within.startswith(decoder))
        return len(layers) if later else 0

    return min(map(layer, names), default=len(layers))
