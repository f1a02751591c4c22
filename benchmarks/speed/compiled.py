"""What compiling the frozen layers would give: a step of the backbone, as it is and compiled.

    python -m benchmarks.speed.compiled

A step goes forward through all layers and back to their input, for as many tokens as a pack of
eight candidates has; adapters, which would need compiling as well, are left out, so that this is
the most that a pack could gain. Compiled once for batches of any size (``torch.compile`` with
``dynamic=True``), as batches grouped by length need it. Both take turns; the first step of each is
told apart, as the compiling is in it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from autopeft.backbone.quiet import quiet
from autopeft.data.demo import demo_model
from benchmarks import ledger
from benchmarks.speed.material import BATCH_SIZE
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-compiled.json"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--pack", type=int, default=8, help="candidates that the batch is for")
    parser.add_argument("--tokens", type=int, default=32, help="of each text")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    options = parser.parse_args(arguments)
    with quiet():
        model = AutoModel.from_pretrained(options.model or str(demo_model()))
    model.eval().requires_grad_(False)
    shape = (options.pack * BATCH_SIZE, options.tokens, model.config.hidden_size)
    states = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(model, dynamic=True)
    steps = {"as it is": _step(model, states), "compiled": _step(compiled, states)}
    first = {name: step() for name, step in steps.items()}
    turns = [{name: step() for name, step in steps.items()} for _ in range(options.repeats)]
    found = {name: spread([turn[name] for turn in turns]) for name in steps}
    faster = spread([turn["as it is"] / turn["compiled"] for turn in turns])
    settings = {"pack": options.pack, "tokens": options.tokens, "repeats": options.repeats}
    result = {
        "benchmark": "compiled",
        "settings": settings | {"model": options.model and Path(options.model).name},
        "first_seconds": first,
        "seconds": found,
        "times_faster": faster,
    }
    ledger.append(options.result, result)
    for name, one in found.items():
        print(f"{name}: {one['median']:.3f} s a step, the first {first[name]:.1f} s")
    print(f"compiled is {faster['median']:.2f} times as fast", end=" ")
    print(f"({faster['low']:.2f} to {faster['high']:.2f}); kept in {options.result}")
    return result


def _step(model: Callable[..., Any], states: torch.Tensor) -> Callable[[], float]:
    """Return a function that goes forward and back once, and returns the seconds it took."""

    def step() -> float:
        given = states.clone().requires_grad_()
        began = time.perf_counter()
        model(inputs_embeds=given).last_hidden_state.square().mean().backward()
        return time.perf_counter() - began

    return step


if __name__ == "__main__":
    main()
