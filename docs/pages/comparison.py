"""The page that compares all methods on three real tasks, made of the recorded cells."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from autopeft.bench.board import read_board
from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.suite import Suite, load_suite
from autopeft.methods import METHODS
from autopeft.report.board import Standing, TaskTable
from autopeft.search.front import gain
from autopeft.tasks.metric import METRICS
from benchmarks.spread import paired
from docs.pages.markdown import table, wrapped

CELLS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "cells"
SUITE = "methods"
GATED, UNGATED = "unipelt", "unipelt_ungated"
PARTS = ("lora", "prefix", "pfeiffer")
"""Of UniPELT: low-rank updates, a prefix, and an adapter after the feed-forward."""

BLANK = "–"

Rows = Mapping[str, Mapping[str, Standing]]
"""By method and task."""


def comparison(cells: Path = CELLS) -> Iterator[str]:
    """Yield the lines of methods/comparison.md."""
    suite = load_suite(SUITE)
    board = read_board(Part.of(suite), Places(results=cells))
    (group,) = board.groups
    rows: dict[str, dict[str, Standing]] = {entry.name: {} for entry in suite.entries}
    for one in group.tasks:
        for standing in one.standings:
            rows[standing.name][one.task] = standing
    rates = ", ".join(f"{rate:.3g}" for rate in suite.rates)
    yield from ("# Methods compared", "")
    yield from wrapped(
        f"Every method on {group.backbone} and the tasks {', '.join(suite.tasks)}: {group.epochs} "
        f"epochs over {group.examples:,} rows, {suite.selection} to select by, at most "
        f"{suite.test:,} to test on. A method is tried at {rates} times the median of its "
        f"learning-rate prior under seed {suite.seeds[0]}; the rate that is best on the selection "
        f"rows trains under {len(suite.seeds)} seeds. Each training is a line of "
        "`benchmarks/results/cells/`.",
    )
    yield from (
        "",
        "```sh",
        f"autopeft bench {SUITE} --data-root FOLDER",
        "python docs/generate.py",
        "```",
        "",
    )
    yield from wrapped(
        "Scores are those of the test split, in percent: mean ± standard deviation over seeds. "
        "Trained parameters are without the head; bytes are those of the saved adapter with its "
        "head; seconds are of one training, in a pack its share, summed over the tasks: medians "
        "over seeds, not all of which were trained on the same kind of machine.",
    )
    yield ""
    yield from _scores(rows, group.tasks)
    yield from ("", "## UniPELT, its parts, and their sum without gates", "")
    yield from _unipelt(rows, group.tasks)
    yield from ("", "## Learning rates", "")
    yield from _rates(rows, suite)
    yield from ("", "## Where it was measured", "")
    yield from (f"- {line}" for line in board.circumstances or ("Nowhere yet.",))


def _scores(rows: Rows, tasks: Sequence[TaskTable]) -> Iterator[str]:
    """Yield the table, the best first; what lacks a task comes last, with the reason."""

    def place(name: str) -> tuple[int, float, str]:
        shares = [s.normalised for s in rows[name].values() if s.normalised is not None]
        return len(tasks) - len(shares), -sum(shares), name

    names = sorted(rows, key=place)
    yield from table(
        (
            "method",
            *(f"{t.task} ({t.metric or 'not yet'})" for t in tasks),
            "trained",
            "bytes",
            "s",
        ),
        (
            (
                f"`{name}`",
                *(_percent(rows[name].get(task.task)) for task in tasks),
                _whole(_cost(rows[name], "trainable_params", statistics.median)),
                _whole(_cost(rows[name], "artifact_bytes", statistics.median)),
                _whole(_cost(rows[name], "train_seconds", sum)),
            )
            for name in names
        ),
    )
    notes = [
        f"- `{name}`, {task}: {standing.note}"
        for name in names
        for task, standing in rows[name].items()
        if standing.note and standing.state != "missing"
    ]
    missing = Counter(
        task for name in names for task, s in rows[name].items() if s.state == "missing"
    )
    if notes or missing:
        yield ""
        yield from notes
        yield from (f"- {task}: {count} methods not trained yet" for task, count in missing.items())


def _unipelt(rows: Rows, tasks: Sequence[TaskTable]) -> Iterator[str]:
    """Yield UniPELT's differences to its best part and to the ungated sum."""
    compared = [(t, _best_part(rows, t)) for t in tasks]
    whole = [
        (t, best) for t, best in compared if best and _all_seeds(rows, t.task, (GATED, UNGATED))
    ]
    if not whole:
        yield "Not trained yet."
        return
    yield from table(
        ("task", GATED, "its best part", "UniPELT ahead by", UNGATED, "UniPELT ahead by"),
        (
            (
                t.task,
                _percent(rows[GATED][t.task]),
                f"{_percent(rows[best][t.task])} (`{best}`)",
                _points(*_ahead(rows, t, best)),
                _percent(rows[UNGATED][t.task]),
                _points(*_ahead(rows, t, UNGATED)),
            )
            for t, best in whole
        ),
    )
    yield from (
        "",
        "The best part is the one with the best test score, so the comparison favours it.",
        "A seed that failed counts as a model that learnt nothing.",
    )
    yield "Differences are in points, taken seed by seed: mean ± standard error."
    against_part = [_ahead(rows, t, best) for t, best in whole]
    against_sum = [_ahead(rows, t, UNGATED) for t, _ in whole]
    yield f"{_verdict('its best part', against_part)} {_verdict('the ungated sum', against_sum)}"


def _best_part(rows: Rows, task: TaskTable) -> str | None:
    if not _all_seeds(rows, task.task, PARTS):
        return None
    higher = METRICS.get(task.metric).higher_is_better
    return max(PARTS, key=lambda name: gain(rows[name][task.task].mean, higher))


def _all_seeds(rows: Rows, task: str, names: Sequence[str]) -> bool:
    """Return whether all have ended under every seed, and not all of them failed."""
    found = [rows[name].get(task) for name in names]
    return all(one is not None and one.settled and one.mean is not None for one in found)


def _ahead(rows: Rows, task: TaskTable, other: str) -> tuple[float, float]:
    """Return by how many points UniPELT is ahead of another row, and the standard error of that."""
    higher = METRICS.get(task.metric).higher_is_better
    ours, theirs = rows[GATED][task.task].scores, rows[other][task.task].scores
    seeds = sorted(ours)
    points = [[100 * gain(own[seed], higher) for seed in seeds] for own in (ours, theirs)]
    found = paired(*points)
    return found["mean"] or 0.0, found["standard_error"] or 0.0


def _points(mean: float, error: float) -> str:
    return f"{mean:+.1f} ± {error:.1f}"


def _verdict(what: str, by_task: Sequence[tuple[float, float]]) -> str:
    """Return a sentence: on how many tasks UniPELT is ahead by more than a standard error."""
    ahead = sum(mean > error for mean, error in by_task)
    behind = sum(mean < -error for mean, error in by_task)
    mean = statistics.fmean(mean for mean, _ in by_task)
    return (
        f"Against {what} UniPELT is ahead by more than a standard error on {ahead} of "
        f"{len(by_task)} tasks and behind on {behind}; on average {mean:+.1f} points."
    )


def _rates(rows: Rows, suite: Suite) -> Iterator[str]:
    """Yield which multiple of its prior's median each method was best at."""
    chosen = {
        name: [_factor(name, standing, suite.rates) for standing in own.values()]
        for name, own in rows.items()
        if name in METHODS
    }
    counts = Counter(factor for own in chosen.values() for factor in own if factor is not None)
    if not counts:
        yield "Not trained yet."
        return
    said = ", ".join(f"{factor:.3g} times in {counts[factor]} cases" for factor in suite.rates)
    yield f"Chosen on the selection rows, as a multiple of the prior's median: {said}."
    yield "A method that takes the same end on every task has a prior that wants moving."
    yield ""
    yield from table(
        ("method", "prior", *suite.tasks),
        (
            (
                f"`{name}`",
                f"{METHODS.get(name).learning_rate.median:g}",
                *(BLANK if factor is None else f"× {factor:.3g}" for factor in own),
            )
            for name, own in sorted(chosen.items())
        ),
    )


def _factor(name: str, standing: Standing, factors: Sequence[float]) -> float | None:
    """Return the multiple of the prior's median that was chosen, once every rate was tried."""
    rate = standing.learning_rate
    if rate is None or standing.untried:
        return None
    median = METHODS.get(name).learning_rate.median
    return min(factors, key=lambda factor: abs(math.log(rate / (median * factor))))


def _percent(standing: Standing | None) -> str:
    if standing is None or standing.mean is None:
        return BLANK
    spread = "" if standing.spread is None else f" ± {100 * standing.spread:.1f}"
    return f"{100 * standing.mean:.1f}{spread}"


def _cost(
    own: Mapping[str, Standing], name: str, of: Callable[[list[float]], float]
) -> float | None:
    known = [cost for s in own.values() if (cost := s.costs.get(name)) is not None]
    return of(known) if known else None


def _whole(value: float | None) -> str:
    return BLANK if value is None else f"{value:,.0f}"
