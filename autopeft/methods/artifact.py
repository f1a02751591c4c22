"""Write what was trained to a folder, and put it back on a shared backbone."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.backbone.load import Backbone
from autopeft.backbone.precision import sink_islands
from autopeft.backbone.quiet import quiet
from autopeft.errors import ModelError
from autopeft.methods import METHODS
from autopeft.methods.adapt import private_copy, settle, wrap
from autopeft.methods.trained import Adaptation
from autopeft.records import Candidate

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from torch import nn

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_OF_WRAPPED_HEAD = re.compile(r"\.(modules_to_save|original_module)\.")
"""Names under which peft lists a head's biases once more if it is to store every bias."""


def save_artifact(model: nn.Module, folder: Path, candidate: Candidate) -> int:
    """Write the trained part of a model and return the bytes of its weights.

    peft adapters are written in peft's own format and load with plain peft; full fine-tuning is
    written as a plain transformers folder. safetensors only.
    """
    made: Any = model
    info = METHODS.get(candidate.method)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if info.config is None:
            made.save_pretrained(folder)
        elif info.recipe is not None:
            _save_recipe(made, folder)
        else:
            config = copy.deepcopy(made.peft_config["default"])
            if info.before_save is not None:
                info.before_save(made)
            made.save_pretrained(folder, save_embedding_layers=False)
            made.peft_config["default"] = config
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _save_recipe(model: Any, folder: Path) -> None:
    """Write an adapter of ours, as a plain peft adapter where peft has the method."""
    from peft import get_peft_model_state_dict

    from autopeft.tuner import delivered

    _write(*delivered(model, get_peft_model_state_dict(model, save_embedding_layers=False)), folder)


def _write(config: PeftConfig, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write an adapter in peft's own format."""
    from safetensors.torch import save_file

    config.inference_mode = True
    config.save_pretrained(str(folder))
    weights = {name: value.contiguous().cpu() for name, value in weights.items()}
    save_file(weights, str(folder / ADAPTER_WEIGHTS), metadata={"format": "pt"})


def load_artifact(backbone: Backbone, folder: Path) -> nn.Module:
    """Return the model that `save_artifact` wrote, over a shared backbone, in eval mode.

    Raises:
        ModelError: the folder holds no artifact, or a damaged one.
    """
    from safetensors import SafetensorError

    try:
        if (folder / ADAPTER_CONFIG).is_file():
            return _load_adapter(backbone, folder)
        if (folder / "config.json").is_file():
            return _load_full(backbone, folder)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"cannot load the adapter in {folder}: {error}") from error
    raise ModelError(f"{folder} holds neither {ADAPTER_CONFIG} nor config.json")


def merge(model: nn.Module) -> nn.Module:
    """Return a plain transformers model in float32 with the adapter folded into its weights.

    Works on a full copy: neither `model` nor the backbone that it shares changes.
    """
    whole = copy.deepcopy(model).float()
    sink_islands(whole)
    return merge_in_place(whole)


def merge_in_place(model: nn.Module) -> nn.Module:
    """Return the plain transformers model inside a peft model, which is of no use then.

    Of the tuners but LoRA's, peft's own unloading fails on a head without a weight of its own, so
    the trained heads are put in the place of peft's wrappers first.
    """
    from peft.utils.other import ModulesToSaveWrapper

    whole: Any = model
    wrappers = [(n, m) for n, m in whole.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    for name, wrapper in wrappers:
        whole.set_submodule(name, wrapper.modules_to_save["default"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged: nn.Module = whole.merge_and_unload()
    return merged.eval()


def _load_adapter(backbone: Backbone, folder: Path) -> nn.Module:
    from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    config: Any = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = config.is_prompt_learning
    state = load_file(folder / ADAPTER_WEIGHTS)
    bias = getattr(config, "bias", "none") != "none"
    model = private_copy(backbone, biases=bias)
    adapted: Any = wrap(model, config, backbone.auto_class)
    settle(adapted, Adaptation(method=config.peft_type.value.lower(), heads=backbone.heads))
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    odd = state.keys() ^ {name for name in wanted if not _OF_WRAPPED_HEAD.search(name)}
    if odd:
        raise ValueError(f"it is of another backbone or head; they differ in {min(odd)}")
    set_peft_model_state_dict(adapted, state)
    frozen: nn.Module = adapted.eval().requires_grad_(False)
    return frozen


def _load_full(backbone: Backbone, folder: Path) -> nn.Module:
    import torch
    import transformers

    with quiet():
        model: nn.Module = getattr(transformers, backbone.auto_class).from_pretrained(
            str(folder),
            dtype=torch.float32,
            attn_implementation=backbone.attention,
            trust_remote_code=False,
            use_safetensors=True,
        )
    settle(model, Adaptation(method="full", heads=backbone.heads))
    return model.to(backbone.model.device).eval().requires_grad_(False)
