"""The tuner: a backbone with `DeltaLayer`s in the places that a configuration names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from autopeft.deltas import DELTAS, Part
from autopeft.deltas.gate import Gate
from autopeft.tuner import attention
from autopeft.tuner.answer import answered, fill, keeping, verbaliser_in
from autopeft.tuner.call import Call
from autopeft.tuner.config import AutoPeftConfig
from autopeft.tuner.layer import DeltaLayer
from autopeft.tuner.prompt import Room, room_for
from autopeft.tuner.slim import slim


class DeltaModel(BaseTuner):  # type: ignore[misc]
    """Puts the parts of an `AutoPeftConfig` on a model.

    What several layers share, gates and factors, is kept here under ``autopeft_shared``, by
    adapter; everything else is under the layers.

    Passes are opened and closed by hooks of the model inside, because peft calls that directly
    where it knows no task, and where it generates.
    """

    prefix = "autopeft_"
    tuner_layer_cls = DeltaLayer

    def __init__(self, model: nn.Module, *args: Any, **kwargs: Any) -> None:
        self._call_of_model = _call_of(model)
        self._attention_before: str | None = None
        self._rooms: dict[str, Room] = {}
        self._verbalised: dict[str, str] = {}
        self._pass, self._states = ExitStack(), list[Tensor]()
        super().__init__(model, *args, **kwargs)
        self._listening = (
            self.model.register_forward_pre_hook(self._opened, with_kwargs=True),
            self.model.register_forward_hook(self._closed, always_call=True),
        )

    def inject_adapter(self, model: Any, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Put an adapter on the model, with what it needs beside the layers.

        peft's own hook for that, ``_pre_injection_hook``, runs for the first adapter only.
        """
        config = self.peft_config[adapter_name]
        self._prepare(model, config, adapter_name)
        part = verbaliser_in(config.placed())
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        if part is not None:
            self._verbalised[adapter_name] = part.module
            fill(model.get_submodule(part.module), adapter_name, part)

    def _prepare(self, model: Any, config: AutoPeftConfig, adapter_name: str) -> None:
        """Make what layers share, and open the attention to prefixes."""
        parts = config.placed()
        room = room_for(parts, model.config)
        if room is not None:
            self._rooms[adapter_name] = room
        shared = nn.ModuleDict()
        for part in parts:
            if part.gate not in ("", "own") and f"gate:{part.gate}" not in shared:
                shared[f"gate:{part.gate}"] = Gate(part.gate_width)
            if part.shares and f"weights:{part.shares}" not in shared:
                made = DELTAS.get(part.delta).shared(part)
                assert made is not None, f"{part.delta} shares nothing"
                shared[f"weights:{part.shares}"] = made
        if not hasattr(self, "autopeft_shared"):
            self.autopeft_shared = nn.ModuleDict()
        if len(shared):
            if not any(value.is_meta for value in shared.parameters()):
                shared.float().to(model.device)
            self.autopeft_shared[adapter_name] = shared
            self.autopeft_shared[adapter_name].requires_grad_(not config.inference_mode)
        seeing = [p.module.rpartition(".")[0] for p in parts if p.changes == "attention"]
        if seeing:
            before = attention.install(model, seeing, self._call_of_model)
            self._attention_before = self._attention_before or before

    def _create_and_replace(
        self,
        peft_config: AutoPeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        del parameter_name
        layer: DeltaLayer = (
            target
            if isinstance(target, DeltaLayer)
            else DeltaLayer(target, current_key, self._call_of_model)
        )
        shared: Any = dict(self.autopeft_shared.items()).get(adapter_name, nn.ModuleDict())
        layer.update_layer(
            adapter_name,
            [part for part in peft_config.placed() if part.module == current_key],
            dict(shared.items()),
            recorded=current_key in peft_config.recorded(),
            inference_mode=peft_config.inference_mode,
        )
        if layer is not target:
            if adapter_name not in self.active_adapters:
                layer.autopeft_deltas.requires_grad_(False)
            self._replace_module(parent, target_name, layer, target)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; its hooks make room for a soft prompt and keep the masks for the gates."""
        return self.model(*args, **kwargs)

    def _opened(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Open a pass of the model and return its inputs, with room for a prompt."""
        if args:
            named = inspect.signature(model.forward).bind_partial(*args).arguments
            kwargs = {**named, **kwargs}
        self._pass.close()  # of a pass that was broken off
        layer = self._verbalising()
        if layer is not None:
            if kwargs.get("labels") is not None:
                raise ValueError(
                    "a verbaliser comes after the loss: give no labels, take the logits"
                )
            self._states = self._pass.enter_context(keeping(layer))
        pad_token = getattr(model.config, "pad_token_id", None)
        opening = self._call_of_model.passing(kwargs, self._room(), pad_token)
        return (), self._pass.enter_context(opening)

    def _closed(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Close a pass, whatever came of it, and add to its logits what a verbaliser scores."""
        del model, args
        self._pass.close()
        states, self._states = self._states, []
        layer = self._verbalising()
        if layer is None or output is None:
            return output
        if isinstance(output, tuple):
            return (answered(layer, states[0], output[0]), *output[1:])
        output["logits"] = answered(layer, states[0], output["logits"])
        return output

    def _verbalising(self) -> DeltaLayer | None:
        """Return the layer whose verbaliser acts now, None if none does."""
        found = [
            self._verbalised[name] for name in self.active_adapters if name in self._verbalised
        ]
        layers = (self.model.get_submodule(name) for name in found)
        return next((layer for layer in layers if layer.acting("logits")), None)

    def _room(self) -> Room | None:
        """Return the room for the prompt that acts now."""
        rooms = [self._rooms[name] for name in self.active_adapters if name in self._rooms]
        off = rooms and any(m.disable_adapters for m in self.modules() if isinstance(m, DeltaLayer))
        return rooms[0] if rooms and not off else None

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Activate an adapter; what its layers share trains with it."""
        super().set_adapter(adapter_name, inference_mode)
        active = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        for name, shared in self.autopeft_shared.items():
            shared.requires_grad_(name in active and not inference_mode)

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter, with what its layers share; if it was active, the first one left is.

        peft asks one layer which adapters are left there; those of others sit elsewhere.
        """
        active = list(self.active_adapters)
        super().delete_adapter(adapter_name)
        self._rooms.pop(adapter_name, None)
        self._verbalised.pop(adapter_name, None)
        if adapter_name in self.autopeft_shared:
            del self.autopeft_shared[adapter_name]
        if active == [adapter_name] and self.peft_config:
            first, config = next(iter(self.peft_config.items()))
            self.set_adapter(first, inference_mode=config.inference_mode)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Refuse what peft would leave out without a word.

        Raises:
            ValueError: an adapter is named for each example.
        """
        del args
        if kwargs.get("adapter_names") is not None:
            raise ValueError(
                "one adapter at a time, not one for each example: leave out adapter_names and "
                "choose with set_adapter"
            )
        yield

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False
    ) -> None:
        """Fold an adapter into the weights, see `DeltaLayer.merge`; all layers or none."""
        self._check_layers_merge(adapter_names)
        super().merge_adapter(adapter_names, safe_merge)

    def _check_layers_merge(self, adapter_names: list[str] | None) -> None:
        for layer in self.modules():
            if isinstance(layer, DeltaLayer):
                layer.to_merge(adapter_names)

    def _unload_and_optionally_merge(
        self,
        merge: bool = True,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Module:
        if merge:
            self._check_layers_merge(adapter_names)
        plain: nn.Module = super()._unload_and_optionally_merge(
            merge, progressbar, safe_merge, adapter_names
        )
        if merge and any(p.delta == "cut" for c in self.peft_config.values() for p in c.placed()):
            slim(plain)
        if self._attention_before is not None:
            attention.uninstall(self.model, self._attention_before)
            self._attention_before = None
        for hook in self._listening:
            hook.remove()
        return plain

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        """Put a module in the place of another one.

        peft's own wants a weight of each, which a head of several layers does not have; our layers
        know the device themselves.
        """
        del child
        setattr(parent, child_name, new_module)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        for place in ("autopeft_deltas", "autopeft_shared"):
            before, found, after = key.partition(f"{place}.{adapter_name}.")
            if found:
                return f"{before}{place}.{after}"
        removed: str = super()._remove_adapter_name_from_key(key, adapter_name)
        return removed


def _call_of(model: nn.Module) -> Call:
    """Return the call that layers of earlier adapters on this model hold, or a new one."""
    for module in model.modules():
        if isinstance(module, DeltaLayer):
            return module._call
    config: Any = model.config
    return Call(two_sided=bool(getattr(config, "is_encoder_decoder", False)))


def draw_from(model: nn.Module, generator: torch.Generator) -> None:
    """Let dropout of an adapted model draw from a generator, on the model's device.

    Not for gradient checkpointing, which draws again on the way back.
    """
    for module in model.modules():
        if isinstance(module, DeltaModel):
            module._call_of_model.generators = (generator,)


def parts_of(model: nn.Module, adapter: str = "default") -> tuple[Part, ...]:
    """Return the parts of an adapted model."""
    config = model.peft_config[adapter]  # type: ignore[index]
    assert isinstance(config, AutoPeftConfig)
    return config.placed()
