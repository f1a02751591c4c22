"""The command that repeats a cell."""

from __future__ import annotations

import shlex

from autopeft.bench.places import Places
from autopeft.bench.suite import Block, Suite


def command(
    suite: Suite, block: Block, row: str, seed: int | str, *, places: Places, again: bool = True
) -> str:
    """Return what trains one cell, or trains it once more.

    Args:
        suite: that the cell is of.
        block: backbone, task and rows.
        row: name of the method, variant or policy.
        seed: of the training, or a word that stands for any.
        places: where its data, its backbone and its results are.
        again: whether it has a result already.
    """
    words = ["autopeft", "bench", suite.source, *places.options()]
    words += ["--backbones", block.backbone, "--tasks", block.task]
    words += ["--examples", str(block.examples)] if len(suite.epochs) > 1 else []
    words += ["--methods", row, "--seeds", str(seed), *(["--again"] if again else [])]
    return shlex.join(words)
