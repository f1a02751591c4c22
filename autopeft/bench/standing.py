"""How a row stands on one block: its scores and prices, or why there are none."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autopeft.bench.cells import Cell, Cells, Searched
from autopeft.bench.chosen import best, tries
from autopeft.bench.command import command
from autopeft.bench.places import Places
from autopeft.bench.skips import Skips
from autopeft.bench.suite import Block, Entry, Policy, Suite
from autopeft.records import Candidate
from autopeft.report.board import COSTS, Standing

NOT_YET = "not trained yet"

Line = Mapping[str, Any]


def standing(
    suite: Suite,
    block: Block,
    row: Entry | Policy,
    *,
    cells: Cells | None,
    skips: Skips,
    places: Places,
    metric: str,
    untrained: float,
) -> Standing:
    """Return how a row stands; ranks come later, when all rows are known.

    Args:
        suite: that it is a row of.
        block: what it is compared on.
        row: a method, a variant or a policy.
        cells: of the block; None where nothing was trained.
        skips: why rows were left out.
        places: where its cells are.
        metric: of the scores.
        untrained: the score of a model that learnt nothing, for a seed that failed.
    """
    lines: dict[int, Line | None] = {}
    rate, untried = None, 0
    if cells is not None and isinstance(row, Policy):
        lines = {seed: cells.get(Searched.of(row, seed)) for seed in suite.seeds}
    elif cells is not None and isinstance(row, Entry):
        lines, rate, untried = _of_method(cells, suite, block, row)
    done = {seed: line for seed, line in lines.items() if line and "test" in line}
    failed = {seed: line for seed, line in lines.items() if line and "test" not in line}
    own = skips.of_row(block, row.name)
    reason = skips.reason(block, row.name) or NOT_YET
    notes = _notes(done, failed, reason, suite.seeds)
    if untried and (done or failed):
        notes.append(f"{untried} of {len(suite.rates)} rates {NOT_YET}")
    ended = len(done) + len(failed) == len(suite.seeds) and not untried
    return Standing(
        name=row.name,
        state=_state(len(done), len(failed), whole=ended),
        note="; ".join(notes),
        settled=ended or own is not None,
        **_scores(lines, done, metric, untrained),
        **_figures(list(done.values()), metric),
        learning_rate=rate,
        untried=untried,
        command=command(suite, block, row.name, "SEED", places=places),
    )


def _of_method(
    cells: Cells, suite: Suite, block: Block, entry: Entry
) -> tuple[dict[int, Line | None], float | None, int]:
    """Return a method's lines by seed, the rate that is best so far, and how many are untried.

    As long as no rate has a score, failures under the first seed are all there is to show.
    """
    tried = tries(suite, entry, block)
    first = [cells.get(cell) for cell in tried]
    chosen: Candidate | None = best(cells, tried)
    if chosen is not None:
        found: dict[int, Line | None] = {s: cells.get(Cell(chosen, s)) for s in suite.seeds}
        return found, chosen.learning_rate, first.count(None)
    return (dict.fromkeys(suite.seeds, first[0]) if all(first) else {}), None, first.count(None)


def _state(done: int, failed: int, *, whole: bool) -> str:
    if done:
        return "complete" if whole and not failed else "partial"
    return "failed" if failed and whole else "missing"


def _notes(
    done: Mapping[int, Line], failed: Mapping[int, Line], reason: str, seeds: Iterable[int]
) -> list[str]:
    """Return what a search chose, and what became of the seeds that have no score."""
    picked = {line["chosen"]["method"]: None for line in done.values() if "chosen" in line}
    notes = [f"chose {', '.join(picked)}"] if picked else []
    causes = {line["cause"]: line["message"] for line in failed.values()}
    if failed and not done:
        notes += [f"{cause}: {message}" for cause, message in causes.items()]
    else:
        notes += [f"seed {seed} failed: {line['cause']}" for seed, line in failed.items()]
    lacking = [seed for seed in seeds if seed not in done and seed not in failed]
    if lacking and not done and not failed:
        notes.append(reason)
    elif lacking:
        notes.append(f"seed {', '.join(map(str, lacking))}: {reason}")
    return notes


def _scores(
    lines: Mapping[int, Line | None],
    done: Mapping[int, Line],
    metric: str,
    untrained: float,
) -> dict[str, Any]:
    """Return scores by seed, their mean and spread; nothing where every seed failed."""
    if not done:
        return {}
    scores: dict[int, float] = {
        seed: line["test"][metric] if "test" in line else untrained
        for seed, line in lines.items()
        if line
    }
    values = list(scores.values())
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"scores": scores, "mean": statistics.fmean(values), "spread": spread}


def _figures(lines: Sequence[Line], metric: str) -> dict[str, Any]:
    if not lines:
        return {}
    selected = [line["selection"][metric] for line in lines if metric in line["selection"]]
    return {
        "selection": statistics.fmean(selected) if selected else None,
        "costs": {name: _median(lines, name) for name in COSTS},
    }


def _median(lines: Iterable[Line], name: str) -> float | None:
    found = [line.get(name, line["costs"].get(name)) for line in lines]
    known = [value for value in found if value is not None]
    middle = statistics.median(known) if known else None
    return int(middle) if isinstance(middle, float) and _is_count(name) else middle


def _is_count(name: str) -> bool:
    return name.endswith(("_params", "_bytes"))
