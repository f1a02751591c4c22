"""A frozen module with the deltas that sit at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from autopeft.deltas import DELTAS, Part
from autopeft.deltas.delta import Delta, frozen_weight, transposed
from autopeft.deltas.gate import Gate
from autopeft.tuner.actor import Actor
from autopeft.tuner.call import Call

if TYPE_CHECKING:
    from autopeft.tuner.pack import Group, Turn


class Deltas(nn.Module):
    """The deltas of one adapter at one module, with their gates.

    What a delta makes with ``requires_grad=False`` never trains; ``frozen`` holds its names.

    Args:
        parts: at this module, in the order in which they act.
        base: the frozen module.
        shared: by name, what several modules use: gates and weights; see `autopeft.tuner.model`.

    Attributes:
        actors: the parts, ready to act; a plain tuple, because their weights are listed above.
    """

    def __init__(
        self, parts: Sequence[Part], base: nn.Module, shared: Mapping[str, nn.Module]
    ) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.deltas = nn.ModuleList(DELTAS.get(part.delta).of(part, base) for part in parts)
        self.gates = nn.ModuleDict(
            {str(i): Gate(p.gate_width) for i, p in enumerate(parts) if p.gate == "own"}
        )
        self.frozen = tuple(n for n, p in self.named_parameters() if not p.requires_grad)
        self.actors = tuple(self._actor(index, shared) for index in range(len(parts)))

    def _actor(self, index: int, shared: Mapping[str, nn.Module]) -> Actor:
        part, delta = self.parts[index], self.deltas[index]
        assert isinstance(delta, Delta)
        found = self.gates[str(index)] if part.gate == "own" else shared.get(f"gate:{part.gate}")
        gate = found if isinstance(found, Gate) else None
        return Actor(part, delta, gate, shared.get(f"weights:{part.shares}"))

    def which(self, changes: str) -> list[Actor]:
        """Return what changes one thing, in the order in which it acts; see `Part.changes`."""
        return [actor for actor in self.actors if actor.part.changes == changes]


class ActingLayer(nn.Module):
    """Stands in the place of a frozen module and lets parts act around it.

    Args:
        base_layer: the frozen module.
        name: its dotted name.
        call: shared by all layers of the model.

    Attributes:
        recorded: whether parts that run later read its input.
    """

    def __init__(self, base_layer: nn.Module, name: str, call: Call) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.name, self._call = name, call
        self.recorded = False
        self._side = "decoder" if "decoder." in name else "encoder"

    def get_base_layer(self) -> nn.Module:
        """Return the frozen module."""
        return self.base_layer

    def acting(self, changes: str) -> Sequence[Actor | Turn]:
        """Return what changes one thing now, in the order in which it acts; see `Part.changes`."""
        raise NotImplementedError

    def make(self, actor: Any, x: Tensor, y: Tensor) -> Any:
        """Return what an actor makes of the module's input and output, for its `put`."""
        return self._run(actor, x, y)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        rows = self._call.rows
        if x.dim() == 2 and x.is_floating_point() and rows and len(x) % rows == 0:
            # OPT runs its feed-forward on the tokens of all examples one after the other
            return self.act(x.reshape(rows, -1, x.shape[-1]), *args, **kwargs).flatten(0, 1)
        return self.act(x, *args, **kwargs)

    def act(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what the frozen module and the parts make of an input (B, …)."""
        if self.recorded:
            self._call.inputs[self.name] = x
        for actor in self.acting("input"):
            x = actor.put(self.make(actor, x, x), x, None)
        y: Tensor = self.base_layer(x, *args, **kwargs)
        for actor in self.acting("attention"):
            attention = self.name.rpartition(".")[0]
            prefix = self.make(actor, x, x)
            self._call.prefixes.setdefault(attention, []).append(prefix)
        for actor in self.acting("prompt"):
            if self._call.room is None:
                raise RuntimeError(
                    "a soft prompt needs a pass through the adapted model, not around it"
                )
            y = actor.put(self.make(actor, x, y), y, self._call.room)
        for actor in self.acting("output"):
            y = actor.put(self.make(actor, x, y), y, None)
        return y

    def _run(self, actor: Actor | Group, x: Tensor, y: Tensor) -> Any:
        part, call = actor.part, self._call
        h = self._read("output" if part.changes == "prompt" else part.reads, x, y)
        return actor(
            h,
            self._read(part.gate_reads or part.reads, x, y),
            *([y] if actor.delta.reads_output else ()),
            kept=actor.kept(h, call.generators) if self.training else None,
            mask=call.real(self._side, h.shape[1]),
            weight=frozen_weight(self.base_layer) if actor.delta.reads_weight else None,
            room=call.room,
        )

    def _read(self, what: str, x: Tensor, y: Tensor) -> Tensor:
        if what in ("input", "output"):
            return x if what == "input" else y
        return self._call.inputs[what]


class DeltaLayer(ActingLayer, BaseTunerLayer):  # type: ignore[misc]
    """Stands in the place of a frozen module and adds the active adapter's deltas.

    Args: as `ActingLayer`.
    """

    adapter_layer_names = ("autopeft_deltas",)
    other_param_names = ()

    if TYPE_CHECKING:  # of `BaseTunerLayer`
        active_adapters: list[str]
        disable_adapters: bool
        merged: bool

    def __init__(self, base_layer: nn.Module, name: str, call: Call) -> None:
        super().__init__(base_layer, name, call)
        self.autopeft_deltas = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self._unmerged: dict[str, Tensor] = {}

    def update_layer(
        self,
        adapter: str,
        parts: Sequence[Part],
        shared: Mapping[str, nn.Module],
        *,
        recorded: bool,
        inference_mode: bool,
    ) -> None:
        """Add an adapter's parts; with `recorded`, keep the input for parts that run later."""
        self.autopeft_deltas[adapter] = Deltas(parts, self.get_base_layer(), shared)
        self.recorded |= recorded
        self.autopeft_deltas[adapter].float()
        self._move_adapter_to_device_of_base_layer(adapter)
        self.set_adapter(adapter, inference_mode=inference_mode)

    def _move_adapter_to_device_of_base_layer(
        self, adapter_name: str, device: torch.device | None = None
    ) -> None:
        """Bring deltas to the frozen module's device; peft's own way rounds to its dtype too."""
        if adapter_name not in self.autopeft_deltas:
            return
        deltas = self.autopeft_deltas[adapter_name]
        if not any(value.is_meta for value in deltas.parameters()):
            deltas.to(device or next(self.get_base_layer().parameters()).device)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Activate an adapter; what a delta made without a gradient stays so."""
        super().set_adapter(adapter_names, inference_mode)
        for deltas in self.autopeft_deltas.values():
            assert isinstance(deltas, Deltas)
            for name in deltas.frozen:
                deltas.get_parameter(name).requires_grad = False

    def acting(self, changes: str) -> Sequence[Actor]:
        """Return the active adapter's actors: one adapter at a time."""
        if self.disable_adapters or self.merged:
            return ()
        names = [name for name in self.active_adapters if name in self.autopeft_deltas]
        return self.deltas(_only(names)).which(changes) if names else ()

    def deltas(self, adapter: str = "default") -> Deltas:
        """Return an adapter's deltas."""
        found = self.autopeft_deltas[adapter]
        assert isinstance(found, Deltas)
        return found

    def to_merge(self, adapter_names: list[str] | None = None) -> str | None:
        """Return the adapter that `merge` would fold in, None if it has nothing to do.

        Args:
            adapter_names: those asked for; the active ones if not given.

        Raises:
            ValueError: a delta is gated, reads something else than the input, or is no linear map;
                or another adapter is, or would be, merged too.
        """
        wanted = self.active_adapters if adapter_names is None else adapter_names
        names = [n for n in wanted if n in self.autopeft_deltas and n not in self.merged_adapters]
        if not names:
            return None
        if self.merged_adapters:
            raise ValueError(f"{self.merged_adapters[0]} is merged already; unmerge it first")
        for actor in self.deltas(_only(names)).actors:
            _refuse_merge(actor.part, actor.delta, self.get_base_layer())
        return names[0]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the active adapter into the frozen module's weights; the old ones are kept.

        Raises:
            ValueError: as `to_merge`; with `safe_merge` also if the result is not finite.
        """
        adapter = self.to_merge(adapter_names)
        if adapter is None:
            return
        deltas = self.deltas(adapter)
        base = self.get_base_layer()
        bias = getattr(base, "bias", None)
        new_bias = None if bias is None else bias.data.float()
        # a module of several layers may have nothing but a bias of its own
        new_weight = frozen_weight(base) if hasattr(base, "weight") else torch.empty(0)
        # what changes the input acts first, and so is folded in last
        for actor in (*deltas.which("output"), *reversed(deltas.which("input"))):
            new_weight, new_bias = actor.folded(new_weight, new_bias)
        found = {"weight": new_weight.T if transposed(base) else new_weight, "bias": new_bias}
        new = {n: v for n, v in found.items() if v is not None and hasattr(base, n)}
        if safe_merge and not all(torch.isfinite(value).all() for value in new.values()):
            raise ValueError(f"merging {adapter} into {self.name} gives values not finite")
        for name, value in new.items():
            old = getattr(base, name)
            self._unmerged[name] = old.data
            old.data = value.detach().to(old.dtype).contiguous()
        self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Put the frozen module's own weights back."""
        for name, value in self._unmerged.items():
            getattr(self.get_base_layer(), name).data = value
        self._unmerged.clear()
        self.merged_adapters.clear()


def _refuse_merge(part: Part, delta: Delta, base: nn.Module) -> None:
    """Raise ValueError with the reason if a part cannot be written into a module's weights."""
    if part.gate:
        reason = "its gate depends on the example"
    elif not delta.linear:
        reason = "it is no linear map of the module's input"
    elif (part.reads, part.changes) not in delta.folds:
        reads = f"the {part.reads}" if part.reads in ("input", "output") else part.reads
        reason = f"it reads {reads} and changes the {part.changes}"
    elif part.delta == "bias" and getattr(base, "bias", None) is None:
        reason = "the module has no bias to hold it"
    else:
        return
    raise ValueError(f"{part.delta} at {part.module} cannot be merged: {reason}")


def _only(names: Sequence[str]) -> str:
    """Return the one adapter of a module that acts or is merged."""
    if len(names) > 1:
        raise ValueError(f"one adapter at a time, not {', '.join(names)}")
    return names[0]
