"""A pack: several candidates in one pass over one frozen backbone.

The batch is repeated for every candidate, the frozen products run once on the whole, and at every
site the parts of all candidates act at once: those of one form with their weights stacked, under
`torch.vmap`. Each candidate keeps its own parameters, its own head and its own random numbers, so
in a pack it learns what it would learn alone. Candidates alike stand side by side in the batch, so
that what they read need not be gathered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn

from autopeft.deltas import Part
from autopeft.tuner import attention
from autopeft.tuner.actor import Actor
from autopeft.tuner.call import Call
from autopeft.tuner.change import changed
from autopeft.tuner.layer import ActingLayer, DeltaLayer
from autopeft.tuner.prompt import Room, room_for
from autopeft.tuner.runs import Runs, shares
from autopeft.tuner.stacked import Stacked, held

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
        order = _alike_side_by_side(members)
        members = [members[number] for number in order]
        self._call = Call(generators=[generators[number] for number in order if generators])
        self._places = sorted(range(len(order)), key=order.__getitem__)
        placed, trained = _gathered(members, heads)
        layers = [layer for found in placed.values() for layer in found.values()]
        parts = [part for layer in layers for part in layer.deltas().parts]
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
            self._call.rows *= self.size
            repeated = {
                name: value.repeat(self.size, *[1] * (value.dim() - 1))
                for name, value in wide.items()
            }
            logits: Tensor = self.model(**repeated).logits
        return shares(logits, self.size)[self._places]

    def held(self) -> AbstractContextManager[None]:
        """Keep what the members train stacked while this is entered; see `stacked.held`."""
        return held(
            stack
            for module in self.modules()
            if isinstance(module, PackLayer | PackedHead)
            for stack in module.stacks()
        )


class PackLayer(ActingLayer):
    """Stands in the place of a frozen module and lets the parts of a whole pack act around it.

    Args:
        base_layer: the frozen module.
        name: its dotted name.
        call: shared by all layers of the pack.
        members: by member, its own layer here.
        size: how many members the pack has.
    """

    def __init__(
        self,
        base_layer: nn.Module,
        name: str,
        call: Call,
        members: Mapping[int, DeltaLayer],
        size: int,
    ) -> None:
        super().__init__(base_layer, name, call)
        self.recorded = any(layer.recorded for layer in members.values())
        self._turns = {changes: _turns(members, changes, size) for changes in CHANGES}

    @property
    def weight(self) -> Any:
        """The frozen module's, for models that look at it."""
        return self.base_layer.weight

    @property
    def bias(self) -> Any:
        """The frozen module's."""
        return self.base_layer.bias

    def stacks(self) -> Iterator[Stacked]:
        """Yield the weights of each group of several members."""
        for turns in self._turns.values():
            for turn in turns:
                yield from (group.weights for group in turn.groups if len(group.members) > 1)

    def acting(self, changes: str) -> Sequence[Turn]:
        """Return the turns that change one thing, one after the other."""
        return self._turns[changes]

    def make(self, turn: Turn, x: Tensor, y: Tensor) -> Any:
        """Return what the groups of a turn make, each for its own members; or a prefix."""
        try:
            own = [self._run(group, x, y) for group in turn.groups]
        finally:
            turn.runs.forget()
        if turn.changes == "attention":
            return turn.prefix(own[0], examples=len(x) // turn.runs.size)
        return own

    def act(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if len(x) != self._call.rows:
            raise ValueError(f"{self.name} is run on more than the examples of the pack")
        return super().act(x, *args, **kwargs)


class Group:
    """Parts of one form, one of each of some members, that act at once.

    Args:
        actors: by member.
        runs: of the turn.
        number: of the group among those of the runs.
    """

    def __init__(self, actors: Mapping[int, Actor], runs: Runs, number: int) -> None:
        self.members, self._actors = tuple(actors), tuple(actors.values())
        self.part, self.delta = self._actors[0].part, self._actors[0].delta
        self.weights = Stacked(self._actors)
        self._runs, self._number = runs, number

    def __call__(self, *read: Tensor, kept: Tensor | None, **common: Any) -> Any:
        """Return what `Actor.forward` does, for the m members of the group (m, …).

        Args:
            read: what the deltas and the gates read, of the whole pack (n·B, …).
            kept: factors of dropout (m, B, …).
            common: to all members.
        """

        def one(
            weights: dict[str, Tensor], own: tuple[Tensor, ...], kept: Tensor | None = None
        ) -> Any:
            named = {"kept": kept, **common}
            return torch.func.functional_call(self._actors[0], weights, own, named)

        states = tuple(self._runs.of(state, self._number) for state in read)
        if len(self.members) > 1:
            drops = () if kept is None else (kept,)
            return torch.vmap(one)(self.weights(), states, *drops)
        own_kept = None if kept is None else kept[0]
        made = self._actors[0](*(state[0] for state in states), kept=own_kept, **common)
        return tuple(m[None] for m in made) if isinstance(made, tuple) else made[None]

    def kept(self, h: Tensor, generators: Sequence[torch.Generator]) -> Tensor | None:
        """Draw the factors of dropout (m, B, …), each member's from its own generator."""
        if not self.part.dropout:
            return None
        shape = torch.Size((len(h) // self._runs.size, *h.shape[1:]))
        own = (generators[member] if generators else None for member in self.members)
        factors = [self._actors[0].drawn(shape, h, generator) for generator in own]
        return torch.stack([f for f in factors if f is not None])


class Turn:
    """Groups of different members, at most one part of each, that do not wait for each other.

    Args:
        groups: prefixes have a turn for each group.
        runs: that the groups share.
    """

    def __init__(self, groups: Sequence[Group], runs: Runs) -> None:
        self.groups, self.runs = groups, runs
        self.changes = groups[0].part.changes

    def put(self, made: Sequence[Tensor], target: Tensor, room: Room | None) -> Tensor:
        """Return the pack's rows (n·B, …) of `target` with what each group made of its own."""
        if self.changes != "prompt":
            return changed(target, self.runs, made)
        assert room is not None
        own: dict[int, Tensor] = {}
        for group, prompts in zip(self.groups, made, strict=True):
            own |= dict(zip(group.members, prompts, strict=True))
        rows = len(target) // self.runs.size
        inorder = [own[member].expand(rows, -1, -1) for member in range(self.runs.size)]
        return room.fill(target, torch.cat(inorder))

    def prefix(self, own: Sequence[Tensor], *, examples: int) -> tuple[Tensor, ...]:
        """Return a prefix of the whole pack: outside the group its gate is 0, which hides it.

        Args:
            own: keys and values (m, tokens, kv_width) and, with gates, their values (m, B, 1, 1).
            examples: B.
        """
        keys, values, *gate = own
        size, members = self.runs.size, self.groups[0].members
        if not gate and len(members) < size:
            gate = [keys.new_ones(len(members), examples, 1, 1)]
        place = torch.tensor(members, device=keys.device)
        whole = [s.new_zeros(size, *s.shape[1:]).index_copy(0, place, s) for s in (keys, values)]
        gates = [g.new_zeros(size, *g.shape[1:]).index_copy(0, place, g) for g in gate]
        return (*whole, *(g.flatten(0, 1) for g in gates))


class PackedHead(nn.Module):
    """The heads of all members in the place of one.

    Args:
        heads: one per member, of one form.
    """

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self._heads = tuple(heads)  # not submodules: they belong to the members
        self.weights = Stacked(heads)

    def stacks(self) -> Iterator[Stacked]:
        """Yield the weights of the heads."""
        yield self.weights

    def forward(self, *states: Tensor, **common: Any) -> Tensor:
        """Return what each member's head makes of its own rows.

        Args:
            states: of the whole pack (n·B, …).
            common: to all members.
        """

        def one(weights: dict[str, Tensor], *own: Tensor) -> Any:
            return torch.func.functional_call(self._heads[0], weights, own, common)

        split = [shares(state, len(self._heads)) for state in states]
        result: Tensor = torch.vmap(one)(self.weights(), *split)
        return result.flatten(0, 1)


def _gathered(
    members: Sequence[nn.Module], heads: Sequence[str]
) -> tuple[dict[str, dict[int, DeltaLayer]], dict[str, list[nn.Module]]]:
    """Return the members' layers by module and member, and their heads by module.

    Raises:
        ValueError: a member trains something else.
    """
    placed: dict[str, dict[int, DeltaLayer]] = {}
    trained: dict[str, list[nn.Module]] = {name: [] for name in heads}
    for number, member in enumerate(members):
        for name, module in member.named_modules():
            if isinstance(module, DeltaLayer):
                placed.setdefault(module.name, {})[number] = module
            elif isinstance(module, ModulesToSaveWrapper):
                head = name.removeprefix("base_model.model.")
                if head in trained:
                    trained[head].append(module.modules_to_save["default"])
    layers = [layer for found in placed.values() for layer in found.values()]
    served = {
        id(parameter)
        for module in (
            *(actor for layer in layers for actor in layer.deltas().actors),
            *(head for found in trained.values() for head in found),
        )
        for parameter in module.parameters()
    }
    for member in members:
        for name, parameter in member.named_parameters():
            if parameter.requires_grad and id(parameter) not in served:
                raise ValueError(f"{name} trains outside our deltas and the head: train it alone")
    return placed, trained


def _turns(members: Mapping[int, DeltaLayer], changes: str, size: int) -> list[Turn]:
    """Return what changes one thing in turns; of each member in the order in which it acts."""
    acting = {member: layer.deltas().which(changes) for member, layer in members.items()}
    found: list[Turn] = []
    for turn in range(max(map(len, acting.values()))):
        alike: dict[str, dict[int, Actor]] = {}
        for member, actors in acting.items():
            if turn < len(actors):
                alike.setdefault(_form(actors[turn].part), {})[member] = actors[turn]
        runs = Runs(size, list(alike.values()))
        groups = [Group(own, runs, number) for number, own in enumerate(alike.values())]
        together = [[group] for group in groups] if changes == "attention" else [groups]
        found += [Turn(some, runs) for some in together]
    return found


def _alike_side_by_side(members: Sequence[nn.Module]) -> list[int]:
    """Return the numbers of the members, ordered so that those with parts alike are neighbours."""
    forms = [
        [
            _form(part)
            for module in member.modules()
            if isinstance(module, DeltaLayer)
            for part in module.deltas().parts
        ]
        for member in members
    ]
    return sorted(range(len(members)), key=forms.__getitem__)


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
