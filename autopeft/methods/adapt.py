"""Put a candidate's method on a shared backbone, ready to be trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from autopeft.backbone.head import in_head, reset_heads
from autopeft.backbone.load import Backbone
from autopeft.backbone.outline import is_bias
from autopeft.backbone.precision import island
from autopeft.backbone.role import is_norm
from autopeft.backbone.seed import seeded
from autopeft.backbone.share import share
from autopeft.errors import ConfigError, IncompatibleMethodError
from autopeft.methods import METHODS, MethodInfo
from autopeft.methods.trained import Adaptation, mark
from autopeft.records import Candidate, Scalar

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn
    from transformers import PreTrainedModel

TASK_TYPES = {
    "AutoModelForSequenceClassification": "SEQ_CLS",
    "AutoModelForTokenClassification": "TOKEN_CLS",
    "AutoModelForQuestionAnswering": "QUESTION_ANS",
    "AutoModelForCausalLM": "CAUSAL_LM",
    "AutoModelForSeq2SeqLM": "SEQ_2_SEQ_LM",
}


def adapt(
    backbone: Backbone, candidate: Candidate, *, seed: int, total_steps: int | None = None
) -> nn.Module:
    """Return a model that trains the candidate's method over the shared backbone.

    Exactly the parameters to be trained require a gradient, all in float32; the model is in eval
    mode. The same seed gives the same head and the same adapter.

    Args:
        backbone: stays as it is, whatever is trained.
        candidate: its knobs may leave out what keeps its default.
        seed: of the fresh head modules and of the adapter.
        total_steps: optimizer steps of the whole training, where the method needs to know.

    Raises:
        IncompatibleMethodError: the method cannot run on this backbone.
        ConfigError: the method needs `total_steps`, or has no such knob.
    """
    info = METHODS.get(candidate.method)
    reason = info.excluded(backbone.shape, 1)
    if reason is not None:
        raise IncompatibleMethodError(f"{info.name}: {reason}")
    if info.needs_total_steps and total_steps is None:
        raise ConfigError(f"{info.name} must be told total_steps")
    candidate = with_defaults(info, candidate)
    model = private_copy(backbone, whole=info.config is None, wide=not info.low_precision)
    reset_heads(model, backbone.fresh, seed)
    with seeded(seed, model.device):
        if info.config is None:
            adapted: nn.Module = model.requires_grad_(True)
        else:
            config = info.config(candidate, backbone.shape, backbone.heads, total_steps)
            adapted = wrap(model, config, backbone.auto_class)
    settle(adapted, Adaptation(method=info.name, heads=backbone.heads))
    return adapted.eval()


def with_defaults(info: MethodInfo, candidate: Candidate) -> Candidate:
    """Return the candidate with every knob and its placement filled in.

    Raises:
        ConfigError: it has a knob that the method does not know.
    """
    unknown = sorted(set(candidate.knobs) - set(info.knobs))
    if unknown:
        raise ConfigError(
            f"{info.name} has no knob {unknown[0]!r}; its knobs are {', '.join(info.knobs)}"
        )
    knobs: Mapping[str, Scalar] = {
        name: candidate.knobs.get(name, knob.default) for name, knob in info.knobs.items()
    }
    return replace(candidate, knobs=knobs, placement=candidate.placement or info.placement)


def private_copy(
    backbone: Backbone,
    *,
    whole: bool = False,
    biases: bool = False,
    wide: bool = False,
) -> PreTrainedModel:
    """Return a module tree over the backbone with storage of its own for all that is written to.

    The head is always private and in float32, fed in float32 over a backbone of 16 bit.

    Args:
        backbone: stays as it is.
        whole: whether all of its parameters will be written to.
        biases: whether its biases will be written to; they need float32, as `wide`.
        wide: whether everything gets a float32 copy.
    """
    import torch

    own: Callable[[str], bool] = lambda name: (  # noqa: E731
        whole or in_head(name, backbone.heads) or (biases and is_bias(name))
    )
    model = share(backbone.model, own)
    if wide or biases:
        return model.float()
    if model.dtype != torch.float32:
        for head in map(model.get_submodule, backbone.heads):
            head.float()
            island(head, cast_back=False)
    return model


def wrap(model: PreTrainedModel, config: PeftConfig, auto_class: str) -> nn.Module:
    """Return the peft model, without peft's advice on the way."""
    from peft import get_peft_model

    config.task_type = TASK_TYPES.get(auto_class)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped: nn.Module = get_peft_model(model, config)
        return wrapped


def settle(model: nn.Module, adaptation: Adaptation) -> None:
    """Put all that trains in float32 and mark the model with how it was made."""
    import torch

    freeze_settings(model)
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if any(p.dtype != torch.float32 for p in own):
            if is_norm(module) or ".modules_to_save." in name:
                island(module, cast_back=True)
            for parameter in own:
                parameter.data = parameter.data.float()
    mark(model, adaptation)


def freeze_settings(model: nn.Module) -> None:
    """Freeze what peft stores as a parameter but never trains, such as AdaLoRA's ``ranknum``.

    Over a backbone of 16 bit, peft makes those anew and forgets that they are frozen.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    for layer in model.modules():
        if isinstance(layer, BaseTunerLayer):
            for name in layer.other_param_names:
                setting = getattr(layer, name, None)
                if isinstance(setting, nn.ParameterDict):
                    setting.requires_grad_(False).float()
