"""A backbone of 16 bit, and modules that compute in 32 bit inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

ModelT = TypeVar("ModelT", bound="nn.Module")


def cast_weights(model: ModelT, dtype: torch.dtype) -> ModelT:
    """Cast a model's parameters in place and return it; buffers stay as they are.

    Frequencies of rotary positions are buffers, and rounded they would turn far positions wrongly.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def island(module: nn.Module, *, cast_back: bool) -> None:
    """Cast the module's floating inputs to float32, so that its own weights may be float32.

    Args:
        module: gets a forward pre-hook, and with `cast_back` a forward hook too.
        cast_back: return the output in the dtype of the first input; needed inside the backbone,
            not for the head.
    """
    module.register_forward_pre_hook(_to_float32, with_kwargs=True)
    if cast_back:
        first = next(module.parameters()).dtype
        module.register_forward_hook(_Back(first))


def sink_islands(model: nn.Module) -> None:
    """Remove what `island` put on the modules of a model that is now float32 throughout."""
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            ours = [key for key, hook in hooks.items() if hook is _to_float32 or _is_back(hook)]
            for key in ours:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)


def _is_back(hook: object) -> bool:
    return isinstance(hook, _Back)


def _to_float32(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    del module
    return tuple(map(_widen, args)), {name: _widen(value) for name, value in kwargs.items()}


def _widen(value: object) -> object:
    import torch

    narrow = isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if narrow else value  # type: ignore[attr-defined]


class _Back:
    """Casts an output to one dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        del module, args
        return output.to(self.dtype)
