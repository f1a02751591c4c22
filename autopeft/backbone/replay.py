"""The lowest layers of a model, played back instead of run.

What is frozen, unadapted and below everything that trains gives the same for a text every time, so
it is recorded once and then replayed inside the model's own forward: embeddings, masks and position
biases are made as ever, and the layers above, the adapters and the head notice nothing. The layers
stay where they are; only their ``forward`` is stood in for, so that names, counts and states of
parameters are right meanwhile.

Paper: Saad-Falcon et al. (2023), Embedding Recycling for Language Models.

Layers are counted as in `autopeft.records.BackboneShape`. Of an encoder-decoder, those of the
encoder can be replayed: the decoder's need the encoder's output as well as their own state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from autopeft.backbone.role import layer_stacks

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def replayed_layers(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the layers that can be replayed, in running order: the encoder's if it has one."""
    _, base = without_head(inner_model(model))
    stacks = layer_stacks(base)
    return tuple(stacks[0][1]) if stacks else ()


def record(model: nn.Module, k: int, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the state (B, S, H) that leaves layer k − 1; what lies above is not run.

    Dropout acts if the model is in training mode, so put it in eval mode.

    Args:
        model: the backbone with its head, adapted or not.
        k: how many layers to run, at least one.
        inputs: keyword arguments of the model.
    """
    import torch

    states: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Any) -> None:
        del module, args
        states.append(output if isinstance(output, torch.Tensor) else output[0])
        raise _RecordedError

    hook = _lowest_layers(model, k)[k - 1].register_forward_hook(keep)
    try:
        with torch.no_grad():
            model(**inputs)
    except _RecordedError:
        return states[0]
    finally:
        hook.remove()
    raise RuntimeError(f"layer {k - 1} did not run")


class Replay:
    """While entered, the lowest k layers of a model return given states.

    Set ``states`` before a pass; the pass takes them. A pass without runs the layers as ever.

        with Replay(model, k) as replay:
            replay.states = record(model, k, inputs)
            logits = model(**inputs).logits

    Nothing below layer k may train or be adapted, see `autopeft.backbone.lowest`; whether a model
    can be replayed at all says `autopeft.backbone.replayable`.

    Args:
        model: the backbone with its head, adapted or not.
        k: how many layers; with 0 the model runs as ever.

    Attributes:
        states: (B, S, H), of the rows of the next pass with their padding, on the model's device;
            what they are where there is padding makes no difference. None for a pass without.

    Raises:
        ValueError: the model has fewer layers.
    """

    def __init__(self, model: nn.Module, k: int) -> None:
        self._layers = _lowest_layers(model, k)
        self._before: list[Any] = []
        self.states: Tensor | None = None

    def __enter__(self) -> Replay:
        self._before = [vars(layer).get("forward") for layer in self._layers]
        for index, layer in enumerate(self._layers):
            layer.forward = functools.partial(self._forward, index, layer.forward)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        for layer, before in zip(self._layers, self._before, strict=True):
            del layer.forward
            if before is not None:
                layer.forward = before
        self._before, self.states = [], None

    def _forward(self, index: int, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stand in for the forward of a layer."""
        import torch

        states = self.states
        if states is None:
            return forward(*args, **kwargs)
        if index == 0:
            hidden = args[0] if args else kwargs["hidden_states"]
            if states.shape != hidden.shape:
                raise ValueError(
                    f"states {tuple(states.shape)} for a batch {tuple(hidden.shape)}: set those of "
                    "the batch before its pass"
                )
        kind = type(self._layers[0])
        if kind not in _BIASES:
            with torch.no_grad():
                _BIASES[kind] = _biases(forward(*args, **kwargs))
        biases, last = _BIASES[kind], index == len(self._layers) - 1
        if last:
            self.states = None
        if biases is None:
            return states
        make = functools.partial(_position_bias, self._layers[0], states)
        return (states, *(make() if bias and last else None for bias in biases))


class _RecordedError(Exception):
    """Ends a pass whose rest nobody needs."""


_BIASES: WeakKeyDictionary[type[nn.Module], tuple[bool, ...] | None] = WeakKeyDictionary()
"""By kind of layer, seen once: which of what it returns beside the state is a position bias; None
if it returns the state alone."""


def _biases(output: Any) -> tuple[bool, ...] | None:
    import torch

    if isinstance(output, torch.Tensor):
        return None
    return tuple(value is not None for value in output[1:])


def _position_bias(layer: nn.Module, states: Tensor) -> Tensor:
    """Return the bias (1, heads, S, S) that T5's first layer makes for all, from the length S."""
    length = states.shape[1]
    for module in layer.modules():
        if getattr(module, "has_relative_attention_bias", False):
            compute: Any = module.compute_bias
            bias: Tensor = compute(length, length, device=states.device)
            return bias
    raise ValueError(f"{type(layer).__name__} returns more than a state")


def _lowest_layers(model: nn.Module, k: int) -> tuple[nn.Module, ...]:
    layers = replayed_layers(model)
    if not 0 <= k <= len(layers):
        raise ValueError(f"{k} layers to replay, of {len(layers)}")
    return layers[:k]


def inner_model(model: nn.Module) -> PreTrainedModel:
    """Return the model of transformers inside whatever wraps it."""
    from transformers import PreTrainedModel

    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def without_head(model: PreTrainedModel) -> tuple[str, nn.Module]:
    """Return the model without its head, and what its name puts before others'."""
    prefix = model.base_model_prefix
    return (f"{prefix}.", getattr(model, prefix)) if hasattr(model, prefix) else ("", model)
