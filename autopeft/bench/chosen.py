"""A row's rate: each is tried under the first seed, the best on the selection rows goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autopeft.bench.cells import Cell, Cells
from autopeft.bench.pace import Pace
from autopeft.bench.suite import Block, Entry, Suite
from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.search.front import gain
from autopeft.tasks.metric import METRICS


def tries(suite: Suite, entry: Entry, block: Block) -> list[Cell]:
    """Return the cells that choose a row's rate."""
    return [Cell(one, suite.seeds[0]) for one in entry.candidates(block.epochs, suite.rates)]


def best(cells: Cells, tried: Iterable[Cell]) -> Candidate | None:
    """Return the candidate with the best selection score, the first of equals, if any has one."""
    metric = cells.about["metric"]
    higher = METRICS.get(metric).higher_is_better
    found: Candidate | None = None
    highest = float("-inf")
    for cell in tried:
        line = cells.get(cell) or {}
        if "selection" in line and gain(line["selection"][metric], higher) > highest:
            found, highest = cell.candidate, gain(line["selection"][metric], higher)
    return found


def repeats(cells: Cells, tried: Sequence[Cell], seeds: Iterable[int]) -> list[Cell]:
    """Return the cells of the chosen rate; none as long as no rate has a score."""
    candidate = best(cells, tried)
    return [] if candidate is None else [Cell(candidate, seed) for seed in seeds]


def missing(cells: Cells, tried: Sequence[Cell], seeds: Iterable[int]) -> list[Cell]:
    """Return the cells of a row that are still to be trained, as far as that is known."""
    wanted = [cell for cell in tried if cells.get(cell) is None]
    return wanted or [cell for cell in repeats(cells, tried, seeds) if cells.get(cell) is None]


def seconds(cells: Cells, suite: Suite, block: Block, seed: int, pace: Pace) -> float:
    """Return the training time of all single-method rows under a seed, at this machine's pace.

    Under the first seed that is every rate of every method, under another the chosen rates alone.
    Mixtures are no single methods, gated or not. What failed counts nothing.
    """
    total = 0.0
    for entry in suite.entries:
        if METHODS.get(entry.method).family == "gated":
            continue
        tried = tries(suite, entry, block)
        own = tried if seed == suite.seeds[0] else repeats(cells, tried, [seed])
        total += sum(pace.seconds(cell.candidate, cells.get(cell) or {}) for cell in own)
    return total
