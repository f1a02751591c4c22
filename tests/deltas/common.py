"""What every delta owes: no change at first, an exact size, and packs equal to one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from autopeft.deltas import DELTAS, Part
from autopeft.deltas.delta import Delta
from autopeft.deltas.size import size

CLOSE = 1e-6
BATCH, LENGTH = 3, 5


def part_of(delta: str, **fields: Any) -> Part:
    """Return a part of a delta, 6 wide where it reads and 4 where it changes unless told else."""
    values = {"fan_in": 6, "fan_out": 4, **fields}
    return Part(delta=delta, module="a.b", site="attn.q", layer=0, **values)


def made_from(part: Part, base: nn.Module | None = None, *, seed: int | None = None) -> Delta:
    """Return the delta of a part, as it starts or, with a seed, with random weights."""
    delta = DELTAS.get(part.delta).of(part, base or nn.Linear(part.fan_in, part.fan_out))
    return delta if seed is None else randomised(delta, seed)


def randomised(module: Any, seed: int) -> Any:
    """Return the module with every parameter drawn anew, so that Δh is far from zero."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return module


def state(width: int, seed: int = 9) -> Tensor:
    """Return a hidden state (B, S, width)."""
    return torch.randn(BATCH, LENGTH, width, generator=torch.Generator().manual_seed(seed))


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two results are equal but for rounding."""
    allowed = CLOSE * max(1.0, other.abs().max().item())
    return one.shape == other.shape and (one - other).abs().max().item() <= allowed


def trained(module: nn.Module) -> int:
    """Return how many numbers of a module train."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def assert_size_is_exact(part: Part, base: nn.Module | None = None) -> None:
    """The torch-free size is that of the tensors which train."""
    assert size([part]) == trained(made_from(part, base)) > 0


def assert_packs_equal_one_by_one(
    members: Sequence[nn.Module], *inputs: Tensor, **extra: Any
) -> None:
    """Candidates stacked under `vmap` give what each gives alone, and the same gradients.

    Args:
        members: candidates of one form, with weights of their own.
        inputs: what every one of them is called with.
        extra: keywords of that call, such as what they share.
    """
    alone = [member(*inputs, **extra) for member in members]
    weights, buffers = stack_module_state(list(members))
    template = members[0]

    def one(own: dict[str, Tensor], kept: dict[str, Tensor]) -> Any:
        return functional_call(template, (own, kept), inputs, extra)

    together = torch.vmap(one)(weights, buffers)
    for index, expected in enumerate(alone):
        for got, want in zip(_tensors(together), _tensors(expected), strict=True):
            assert close(got[index], want), f"candidate {index} differs in the pack"
    torch.stack([value.square().sum() for value in _tensors(together)]).sum().backward()
    torch.stack([v.square().sum() for result in alone for v in _tensors(result)]).sum().backward()
    for name, stacked in weights.items():
        for index, member in enumerate(members):
            parameter = member.get_parameter(name)
            if parameter.requires_grad:
                torch.testing.assert_close(
                    stacked.grad[index], parameter.grad, atol=1e-5, rtol=1e-4, msg=name
                )


def _tensors(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)
