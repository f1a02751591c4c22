"""A pack: several candidates in one pass over one frozen backbone.

The batch is repeated for every candidate, the frozen products run once on the whole, and at every
site the parts of all candidates act at once: those of one form with their weights stacked, under
`torch.vmap`. Each candidate keeps its own parameters, its own head and its own random numbers, so
in a pack it learns what it would learn alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.tuner import attention
from autopeft.tuner.actor import Actor, drawn
from autopeft.tuner.call import Call
from autopeft.tuner.layer import ActingLayer, DeltaLayer, Deltas
from autopeft.tuner.prompt import Room, room_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHANGES = ("input", "attention", "prompt", "output")


class Pack(nn.Module):
    """Runs several adapted models in one pass.

    Args:
        model: a plain tree over the backbone that the members share; it becomes the pack's.
        members: models adapted by our tuner, or in their head alone; the pack uses their
            parameters themselves. Their prompts, if any, must be equally long.
        heads: names of the head's modules.
        generators: one per member, which its dropout is drawn from; empty for torch's.

    Raises:
        ValueError: a member trains something else, or the prompts are not equally long.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        members: Sequence[nn.Module],
        heads: Sequence[str],
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        super().__init__()
        self.model, self.size = model, len(members)
        self._call = Call(generators=generators)
        placed, trained = _gathered(members, heads)
        parts = [part for found in placed.values() for d in found.values() for part in d.parts]
        seeing = {part.module.rpartition(".")[0] for part in parts if part.changes == "attention"}
        if seeing:
            attention.install(model, sorted(seeing), self._call)
        for name, found in placed.items():
            layer = PackLayer(model.get_submodule(name), name, self._call, found, self.size)
            model.set_submodule(name, layer)
        for name, own in trained.items():
            model.set_submodule(name, PackedHead(own))
        if any(part.changes == "logits" for part in parts):
            raise ValueError("a verbaliser reads the logits of a single candidate: train it alone")
        self._room = _one_room(members, parts, model)

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return the logits (n, B, C) of n members.

        Args:
            inputs: of the model, for B examples.
        """
        pad_token = getattr(self.model.config, "pad_token_id", None)
        with self._call.passing(inputs, self._room, pad_token) as wide:
            self._call.rows = self.size * len(next(iter(wide.values())))
            repeated = {
                name: value.repeat(self.size, *[1] * (value.dim() - 1))
                for name, value in wide.items()
            }
            logits: Tensor = self.model(**repeated).logits
        return _shares(logits, self.size)


class PackLayer(ActingLayer):
    """Stands in the place of a frozen module and lets the parts of a whole pack act around it.

    Args:
        base_layer: the frozen module.
        name: its dotted name.
        call: shared by all layers of the pack.
        members: by member, its deltas here.
        size: how many members the pack has.
    """

    def __init__(
        self,
        base_layer: nn.Module,
        name: str,
        call: Call,
        members: Mapping[int, Deltas],
        size: int,
    ) -> None:
        super().__init__(base_layer, name, call)
        self._recorded = True
        self._groups = {changes: _groups(members, changes, size) for changes in CHANGES}

    @property
    def weight(self) -> Any:
        """The frozen module's, for models that look at it."""
        return self.base_layer.weight

    @property
    def bias(self) -> Any:
        """The frozen module's."""
        return self.base_layer.bias

    def acting(self, changes: str) -> Sequence[Group]:
        """Return the groups that change one thing, in the order in which they act."""
        return self._groups[changes]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if len(x) != self._call.rows:
            raise ValueError(f"{self.name} is run on more than the examples of the pack")
        return super().forward(x, *args, **kwargs)


class Group:
    """Parts of one form, one of each of some members, that act at once.

    Args:
        actors: by member.
        size: how many members the pack has.
    """

    def __init__(self, actors: Mapping[int, Actor], size: int) -> None:
        self._members, self._actors = tuple(actors), tuple(actors.values())
        self._size = size
        self.part, self.delta = self._actors[0].part, self._actors[0].delta

    def __call__(
        self, target: Tensor, h: Tensor, gate_h: Tensor, *, kept: Tensor | None, **common: Any
    ) -> Any:
        """Do what `Actor.forward` does, for every member of the group.

        Args:
            target: of the whole pack (n·B, …), as `h` and `gate_h`.
            h: what the deltas read.
            gate_h: what the gates read.
            kept: factors of dropout (m, B, …) of the group's m members.
            common: to all members.

        Returns:
            `target` with the change, that of members outside the group as it was; or a prefix of
            the whole pack, hidden from members outside.
        """

        def one(
            weights: dict[str, Tensor], own: tuple[Tensor, ...], kept: Tensor | None = None
        ) -> Any:
            named = {"kept": kept, **common}
            return torch.func.functional_call(self._actors[0], weights, own, named)

        states = tuple(self._mine(state) for state in (target, h, gate_h))
        drops = () if kept is None else (kept,)
        result = torch.vmap(one)(_stacked(self._actors), states, *drops)
        if self.part.changes == "attention":
            return self._hidden_from_others(*result, examples=states[0].shape[1])
        changed: Tensor = self._among_all(result, _shares(target, self._size))
        return changed.flatten(0, 1)

    def kept(self, h: Tensor, generators: Sequence[torch.Generator]) -> Tensor | None:
        """Draw the factors of dropout (m, B, …), each member's from its own generator."""
        if not self.part.dropout:
            return None
        shape = torch.Size((len(h) // self._size, *h.shape[1:]))
        own = (generators[member] if generators else None for member in self._members)
        factors = [drawn(shape, self.part.dropout, h.device, generator) for generator in own]
        return torch.stack([f for f in factors if f is not None])

    def _mine(self, state: Tensor) -> Tensor:
        """Return the rows (m, B, …) of the group's members from those of the pack (n·B, …)."""
        split = _shares(state, self._size)
        return split if len(self._members) == self._size else split[list(self._members)]

    def _among_all(self, own: Tensor, others: Tensor) -> Tensor:
        """Return (n, …) with the members' own (m, …) in the places of theirs."""
        if len(self._members) == self._size:
            return own
        return others.index_copy(0, torch.tensor(self._members, device=own.device), own)

    def _hidden_from_others(
        self, keys: Tensor, values: Tensor, gate: Tensor | None = None, *, examples: int
    ) -> tuple[Tensor, ...]:
        """Return a prefix of the whole pack: outside the group its gate is 0, which hides it."""
        size = self._size
        whole = [self._among_all(s, s.new_zeros(size, *s.shape[1:])) for s in (keys, values)]
        if gate is None and len(self._members) == size:
            return tuple(whole)
        gate = keys.new_ones(len(keys), examples, 1, 1) if gate is None else gate
        gates = self._among_all(gate, gate.new_zeros(size, *gate.shape[1:]))
        return (*whole, gates.flatten(0, 1))


class PackedHead(nn.Module):
    """The heads of all members in the place of one.

    Args:
        heads: one per member, of one form.
    """

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self._heads = tuple(heads)  # not submodules: they belong to the members

    def forward(self, *states: Tensor, **common: Any) -> Tensor:
        """Return what each member's head makes of its own rows.

        Args:
            states: of the whole pack (n·B, …).
            common: to all members.
        """

        def one(weights: dict[str, Tensor], *own: Tensor) -> Any:
            return torch.func.functional_call(self._heads[0], weights, own, common)

        split = [_shares(state, len(self._heads)) for state in states]
        result: Tensor = torch.vmap(one)(_stacked(self._heads), *split)
        return result.flatten(0, 1)


def _shares(state: Tensor, size: int) -> Tensor:
    """Return (n, B, …) from the rows (n·B, …) of a pack."""
    return state.reshape(size, -1, *state.shape[1:])


def _stacked(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Return the weights and buffers of modules of one form, by name, stacked (m, …)."""
    each = [dict((*m.named_parameters(), *m.named_buffers())) for m in modules]
    return {name: torch.stack([own[name] for own in each]) for name in each[0]}


def _gathered(
    members: Sequence[nn.Module], heads: Sequence[str]
) -> tuple[dict[str, dict[int, Deltas]], dict[str, list[nn.Module]]]:
    """Return the members' deltas by module and member, and their heads by module.

    Raises:
        ValueError: a member trains something else.
    """
    placed: dict[str, dict[int, Deltas]] = {}
    trained: dict[str, list[nn.Module]] = {name: [] for name in heads}
    for number, member in enumerate(members):
        for name, module in member.named_modules():
            if isinstance(module, DeltaLayer):
                placed.setdefault(module.name, {})[number] = module.deltas()
            elif isinstance(module, ModulesToSaveWrapper):
                head = name.removeprefix("base_model.model.")
                if head in trained:
                    trained[head].append(module.modules_to_save["default"])
    served = {
        id(parameter)
        for module in (
            *(actor for found in placed.values() for d in found.values() for actor in d.actors),
            *(head for found in trained.values() for head in found),
        )
        for parameter in module.parameters()
    }
    for member in members:
        for name, parameter in member.named_parameters():
            if parameter.requires_grad and id(parameter) not in served:
                raise ValueError(f"{name} trains outside our deltas and the head: train it alone")
    return placed, trained


def _groups(members: Mapping[int, Deltas], changes: str, size: int) -> list[Group]:
    """Return what changes one thing in groups; of each member in the order in which it acts."""
    acting = {member: deltas.which(changes) for member, deltas in members.items()}
    found: list[Group] = []
    for turn in range(max(map(len, acting.values()))):
        alike: dict[str, dict[int, Actor]] = {}
        for member, actors in acting.items():
            if turn < len(actors):
                alike.setdefault(_form(actors[turn].part), {})[member] = actors[turn]
        found += [Group(group, size) for group in alike.values()]
    return found


def _form(part: Part) -> str:
    """Return what parts have in common that act at once."""
    return json.dumps(part.to_json(), sort_keys=True)


def _one_room(
    members: Sequence[nn.Module], parts: Sequence[Part], model: PreTrainedModel
) -> Room | None:
    """Return the room for the prompts of all members.

    Raises:
        ValueError: their prompts are not equally long.
    """
    prompts = [part for part in parts if part.changes == "prompt"]
    rooms = {room_for([part], model.config) for part in prompts}
    if len(rooms) > 1 or len(prompts) not in (0, len(members)):
        raise ValueError("candidates of one pack need prompts of one length")
    return next(iter(rooms), None)
