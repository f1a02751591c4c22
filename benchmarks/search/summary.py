"""The comparison in one row per policy."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console

from autopeft.report import table
from benchmarks.table.candidates import SEEDS

BASELINE = "random"
OURS = "ours:shipped"
"""What the program does. The best of several, seen on the same tasks, would look too good."""

HEADLINE = "200"
"""Epochs after which the delivered choice is told; one of `compare.BUDGETS`."""

Line = Mapping[str, Any]


def show(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Print the summary and return it."""
    rows = summary(lines)
    if lines and (said := lacking(lines)):
        print(said)
    table.show(rows, "table", Console(width=160))
    return rows


def lacking(lines: Iterable[Line]) -> str | None:
    """Return what has to be said of replays on tables that are not complete; None if all are."""
    seeds = min(line["seeds"] for line in lines)
    if not seeds:
        return (
            "Candidates of these tables are missing: the figures show that the comparison runs, "
            "and nothing else."
        )
    if seeds < len(SEEDS):
        return (
            f"So far, one of {len(SEEDS)} seeds is recorded of every candidate: hypervolume counts "
            "its luck, and finalists have no further seeds."
        )
    return None


def summary(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return a row per policy.

    ``epochs to 99 %`` is the geometric mean, over the tasks, of the median over the replays; one
    that never came so far counts as all the epochs of the table, so the figure is a lower bound
    where ``reached`` is below 1. ``of random`` is that beside the same of random search, ``90 %``
    the epochs to so much, and ``compute`` that to 99 % in compute. Regret and its spread, ``fair``
    regret, told without the oracle's luck, the share within one standard error of the oracle, and
    the median ratio of parameters are those of the choice after `HEADLINE` epochs; ``for compute``
    is the regret after `compare.COMPUTE`.
    """
    by_policy: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_policy[line["policy"]].append(line)
    needed = {name: needed_for_99(found, "epochs") for name, found in by_policy.items()}
    rows = [
        _row(name, found, needed[name], needed.get(BASELINE)) for name, found in by_policy.items()
    ]
    return sorted(rows, key=lambda row: row["epochs to 99 %"])


def needed_for_99(lines: Iterable[Line], unit: str) -> float:
    """Return the geometric mean over tasks of what 99 % of the hypervolume takes in the median.

    Args:
        lines: of one policy.
        unit: ``epochs`` or ``compute``.
    """

    def needed(line: Line) -> float:
        reached = line[f"{unit}_to_99"]
        return float(line[f"{unit}_of_all"] if reached is None else reached)

    return _over_tasks(lines, needed)


def epochs_to(lines: Iterable[Line], share: float) -> float:
    """Return the same for the epochs to any share of the hypervolume."""

    def needed(line: Line) -> float:
        reached = (epochs for epochs, found in line["growth"] if found >= share)
        return float(next(reached, line["epochs_of_all"]))

    return _over_tasks(lines, needed)


def _over_tasks(lines: Iterable[Line], needed: Callable[[Line], float]) -> float:
    by_task: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        by_task[line["task"]].append(needed(line))
    return statistics.geometric_mean(statistics.median(found) for found in by_task.values())


def _row(name: str, lines: Sequence[Line], needed: float, baseline: float | None) -> dict[str, Any]:
    choices = [line["delivered"][HEADLINE] for line in lines]
    made = [choice for choice in choices if choice is not None]
    regrets = [choice["regret"] for choice in made]
    for_compute = [line["delivered_for_compute"] for line in lines]
    later = [choice["regret"] for choice in for_compute if choice is not None]
    return {
        "policy": name,
        "tasks": len({line["task"] for line in lines}),
        "replays": len(lines),
        "epochs to 99 %": round(needed, 1),
        "of random": None if baseline is None else round(needed / baseline, 3),
        "90 %": round(epochs_to(lines, 0.9), 1),
        "compute": round(needed_for_99(lines, "compute"), 1),
        "reached": round(statistics.fmean(line["epochs_to_99"] is not None for line in lines), 3),
        "regret": round(statistics.fmean(regrets), 4) if regrets else None,
        "fair": round(statistics.fmean(c["fair_regret"] for c in made), 4) if made else None,
        "sd": round(statistics.stdev(regrets), 4) if len(regrets) > 1 else None,
        "for compute": round(statistics.fmean(later), 4) if later else None,
        "within 1 SE": round(statistics.fmean(c["within"] for c in made), 3) if made else None,
        "parameters": round(statistics.median(c["ratio"] for c in made), 3) if made else None,
        "seconds": round(statistics.median(line["cpu_seconds"] for line in lines), 1),
    }


def aims(lines: Sequence[Line]) -> list[str]:
    """Return a sentence per aim: what is aimed at, and what `OURS` does.

    Nothing is said where `OURS` or the generic policies were not replayed.
    """
    rows = summary(lines)
    own = next((row for row in rows if row["policy"] == OURS), None)
    generic = next((row for row in rows if not row["policy"].startswith("ours")), None)
    if own is None or generic is None:
        return []
    of_generic = own["epochs to 99 %"] / generic["epochs to 99 %"]
    told = [
        f"`{own['policy']}` needs {of_generic:.2f} of the epochs of the best generic policy, "
        f"`{generic['policy']}`; aimed at: at most 0.5"
    ]
    best = min(
        (row for row in rows if not row["policy"].startswith("ours")), key=lambda row: row["90 %"]
    )
    told.append(
        f"to 90 % it needs {own['90 %'] / best['90 %']:.2f} of the epochs of the best generic "
        f"policy, `{best['policy']}`"
    )
    if own["of random"] is not None:
        told.append(f"it needs {own['of random']:.2f} of those of random search; at most 0.2")
    if own["regret"] is not None:
        told += [
            f"its regret is {100 * own['regret']:.2f} points on average; at most 0.5",
            f"{own['within 1 SE']:.0%} of its choices are within one standard error of the oracle; "
            "at least 90 %",
            f"they train {own['parameters']:.2f} of the oracle's parameters in the median; at most "
            "0.5",
        ]
    return told
