"""What TARP's own way back gives: packs of its delta against torch's own operations.

    python -m benchmarks.speed.rescaling

A step goes forward through the adapted projections of some layers and then back, as in a training:
what is kept for the way back is kept for all of them. Both take turns on the same states.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from autopeft.deltas.dynamic_lowrank import DynamicLowRank
from benchmarks import ledger
from benchmarks.speed.material import BATCH_SIZE
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-rescaling.json"


class Plain(DynamicLowRank):
    """The same change in torch's own operations, with the way back that they have."""

    def forward(self, x: Tensor, *, weight: Tensor) -> Tensor:
        grown = torch.expm1(self.scale_u @ self.scale_v)
        rescale = torch.log1p((1 - 1 / math.e) * grown)
        rescaled = nn.functional.linear(x, weight.to(x.dtype) * rescale.to(x.dtype))
        return rescaled + self._updated(x)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 3], help="candidates in each")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=768, help="of the backbone's states")
    parser.add_argument("--tokens", type=int, default=16, help="of each text")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    found = [_measured(pack, options) for pack in options.packs]
    settings = {name: getattr(options, name) for name in ("repeats", "layers", "width", "tokens")}
    result = {
        "benchmark": "rescaling",
        "settings": settings | {"threads": torch.get_num_threads()},
        "found": found,
    }
    ledger.append(options.result, result)
    for one in found:
        faster = one["times_faster"]
        print(f"pack of {one['pack']}: {faster['median']:.2f} times as fast", end=" ")
        print(f"({faster['low']:.2f} to {faster['high']:.2f})")
    print(f"kept in {options.result}")
    return result


def _measured(pack: int, options: argparse.Namespace) -> dict[str, Any]:
    steps = {
        "plain": _step(Plain, pack, options),
        "own": _step(DynamicLowRank, pack, options),
    }
    for step in steps.values():
        step()
    turns = [{name: step() for name, step in steps.items()} for _ in range(options.repeats)]
    return {
        "pack": pack,
        "seconds": {name: spread([turn[name] for turn in turns]) for name in steps},
        "times_faster": spread([turn["plain"] / turn["own"] for turn in turns]),
    }


def _step(
    kind: type[DynamicLowRank], pack: int, options: argparse.Namespace
) -> Callable[[], float]:
    """Return a function that goes forward and back once, and returns the seconds it took."""
    torch.manual_seed(0)
    width, inner = options.width, 4 * options.width
    fans = [(width, width)] * 4 + [(width, inner), (inner, width)]
    sites = [_site(kind, pack, *fan, tokens=options.tokens) for fan in fans * options.layers]

    def step() -> float:
        began = time.perf_counter()
        made = [change() for change in sites]
        for change in reversed(made):
            change.backward(torch.ones_like(change))
        return time.perf_counter() - began

    return step


def _site(
    kind: type[DynamicLowRank], pack: int, fan_in: int, fan_out: int, *, tokens: int
) -> Callable[[], Tensor]:
    """Return what makes the changes (n, B, S, fan_out) of a pack at one projection."""
    members = [kind(fan_in, fan_out, r=4) for _ in range(pack)]
    for member in members:
        nn.init.normal_(member.scale_v, std=0.02)
    weights, _ = stack_module_state(list[nn.Module](members))
    frozen = torch.randn(fan_out, fan_in) / fan_in**0.5
    shape = (pack, BATCH_SIZE, tokens, fan_in)
    states = torch.randn(shape, dtype=torch.bfloat16).requires_grad_()

    def one(own: dict[str, Tensor], x: Tensor) -> Tensor:
        change: Tensor = functional_call(members[0], own, (x,), {"weight": frozen})
        return change

    return lambda: torch.vmap(one)(weights, states)


if __name__ == "__main__":
    main()
