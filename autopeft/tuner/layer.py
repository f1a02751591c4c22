"""A frozen module with the deltas that sit at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from autopeft.deltas import DELTAS, Part
from autopeft.deltas.delta import Delta, frozen_weight, transposed
from autopeft.deltas.gate import Gate
from autopeft.tuner.call import Call


class Deltas(nn.Module):
    """The deltas of one adapter at one module, with their gates.

    What a delta makes with ``requires_grad=False`` never trains; ``frozen`` holds its names.

    Args:
        parts: at this module, in the order in which they act.
        base: the frozen module.
        shared: by name, what several modules use: gates and weights; see `autopeft.tuner.model`.
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
        self._shared = dict(shared)  # a plain mapping: the weights are the tuner's, not ours

    def gate(self, index: int) -> nn.Module | None:
        """Return the gate of a part, None if it has none."""
        name = self.parts[index].gate
        if name == "own":
            own: nn.Module = self.gates[str(index)]
            return own
        return self._shared[f"gate:{name}"] if name else None

    def change(self, index: int, h: Tensor, extra: Mapping[str, Tensor | None]) -> Tensor:
        """Return Δh of a part, ungated, in float32.

        Args:
            index: of the part.
            h: what it reads.
            extra: ``weight`` of the frozen module and ``mask`` of the batch, for a delta that reads
                them.
        """
        part, delta = self.parts[index], self[index]
        if part.dropout:
            h = nn.functional.dropout(h, part.dropout, self.training)
        changed: Tensor = delta(h, **extra, **self._weights(index))
        return changed

    def fold(self, index: int, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return a projection's weight and bias with a part folded in, see `Delta.folded`."""
        delta: Any = self[index]
        folded: tuple[Tensor, Tensor | None] = delta.folded(weight, bias, **self._weights(index))
        return folded

    def _weights(self, index: int) -> dict[str, nn.Module]:
        """Return what a part shares with others, as the keyword of its delta."""
        name = self.parts[index].shares
        return {"shared": self._shared[f"weights:{name}"]} if name else {}

    def __getitem__(self, index: int) -> Delta:
        delta: Any = self.deltas[index]
        assert isinstance(delta, Delta)
        return delta


class DeltaLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """Stands in the place of a frozen module and adds the active adapter's deltas.

    Args:
        base_layer: the frozen module.
        name: its dotted name.
        call: shared by all layers of the model.
    """

    adapter_layer_names = ("autopeft_deltas",)
    other_param_names = ()

    if TYPE_CHECKING:  # of `BaseTunerLayer`
        active_adapters: list[str]
        disable_adapters: bool
        merged: bool
        _move_adapter_to_device_of_base_layer: Callable[[str], None]

    def __init__(self, base_layer: nn.Module, name: str, call: Call) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.name, self._call = name, call
        self.autopeft_deltas = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self._unmerged: dict[str, Tensor] = {}
        self._recorded = False
        self._side = "decoder" if "decoder." in name else "encoder"

    def get_base_layer(self) -> nn.Module:
        """Return the frozen module."""
        return self.base_layer

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
        self._recorded |= recorded
        self._move_adapter_to_device_of_base_layer(adapter)
        self.autopeft_deltas[adapter].float()
        self.set_adapter(adapter, inference_mode=inference_mode)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Activate an adapter; what a delta made without a gradient stays so."""
        super().set_adapter(adapter_names, inference_mode)
        for deltas in self.autopeft_deltas.values():
            assert isinstance(deltas, Deltas)
            for name in deltas.frozen:
                deltas.get_parameter(name).requires_grad = False

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        deltas = self._active()
        if self._recorded:
            self._call.inputs[self.name] = x
        if deltas is None:
            plain: Tensor = self.base_layer(x, *args, **kwargs)
            return plain
        for index in _which(deltas, "input"):
            x = x + self._change(deltas, index, x, x).to(x.dtype)
        y: Tensor = self.base_layer(x, *args, **kwargs)
        for index in _which(deltas, "attention"):
            self._prepend(deltas, index, x)
        for index in _which(deltas, "prompt"):
            y = self._prompted(deltas, index, y)
        for index in _which(deltas, "output"):
            y = y + self._change(deltas, index, x, y).to(y.dtype)
        return y

    def _active(self) -> Deltas | None:
        """Return the deltas to apply now: one adapter at a time."""
        if self.disable_adapters or self.merged:
            return None
        names = [name for name in self.active_adapters if name in self.autopeft_deltas]
        found = self.autopeft_deltas[_only(names)] if names else None
        assert found is None or isinstance(found, Deltas)
        return found

    def _change(self, deltas: Deltas, index: int, x: Tensor, y: Tensor) -> Tensor:
        part = deltas.parts[index]
        h = self._read(part.reads, x, y).float()
        extra: dict[str, Tensor | None] = {}
        if deltas[index].reads_weight:
            extra["weight"] = frozen_weight(self.get_base_layer())
        if deltas[index].reads_mask:
            extra["mask"] = self._call.masks.get(self._side)
        changed = deltas.change(index, h, extra)
        gate = self._gate(deltas, index, x, y)
        return changed if gate is None else gate * changed

    def _prepend(self, deltas: Deltas, index: int, x: Tensor) -> None:
        """Leave keys and values for the attention that runs next."""
        keys, values = deltas[index]()
        attention = self.name.rpartition(".")[0]
        gate = self._gate(deltas, index, x, x)
        self._call.prefixes[attention] = (keys, values, gate)

    def _prompted(self, deltas: Deltas, index: int, embeddings: Tensor) -> Tensor:
        """Put a soft prompt among the embeddings, where the tuner made room for it."""
        room, mask = self._call.room, self._call.masks.get(self._side)
        if room is None:
            raise RuntimeError(
                "a soft prompt needs a pass through the adapted model, not around it"
            )
        text = room.narrow(embeddings).float()
        prompt = deltas[index](text, None if mask is None else room.narrow(mask))
        return room.fill(embeddings, prompt)

    def _read(self, what: str, x: Tensor, y: Tensor) -> Tensor:
        if what in ("input", "output"):
            return x if what == "input" else y
        return self._call.inputs[what]

    def _gate(self, deltas: Deltas, index: int, x: Tensor, y: Tensor) -> Tensor | None:
        gate, part = deltas.gate(index), deltas.parts[index]
        if gate is None:
            return None
        h = self._read(part.gate_reads or part.reads, x, y)
        mask = self._call.masks.get(self._side)
        value: Tensor = gate(h.float(), mask)
        return value

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
        deltas = self.autopeft_deltas[_only(names)]
        assert isinstance(deltas, Deltas)
        for index, part in enumerate(deltas.parts):
            _refuse_merge(part, deltas[index], self.get_base_layer())
        return names[0]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the active adapter into the frozen module's weights; the old ones are kept.

        Raises:
            ValueError: as `to_merge`; with `safe_merge` also if the result is not finite.
        """
        adapter = self.to_merge(adapter_names)
        if adapter is None:
            return
        deltas = self.autopeft_deltas[adapter]
        assert isinstance(deltas, Deltas)
        base = self.get_base_layer()
        bias = getattr(base, "bias", None)
        new_weight, new_bias = frozen_weight(base), None if bias is None else bias.data.float()
        # what changes the input acts first, and so is folded in last
        for index in _which(deltas, "output") + _which(deltas, "input")[::-1]:
            new_weight, new_bias = deltas.fold(index, new_weight, new_bias)
        new = {"weight": new_weight.T if transposed(base) else new_weight}
        if new_bias is not None:
            new["bias"] = new_bias
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


def _which(deltas: Deltas, changes: str) -> list[int]:
    return [index for index, part in enumerate(deltas.parts) if part.changes == changes]
