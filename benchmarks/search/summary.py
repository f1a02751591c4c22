"""The comparison in one row per policy."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from autopeft.report import table
from benchmarks.table.candidates import SEEDS

BASELINE = "random"
OURS = "ours:shipped"
"""What the program does. The best of several, seen on the same tasks, would look too good."""

FLOOR = "foreknown"
"""What is told the scores of one seed beforehand: hardly any search can do better."""

SAME_SPACE = ":default"
"""How generic policies are called that search the space of `OURS`."""

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
    """Return what has to be said of replays that saw not all seeds; None if they did."""
    if min(line["seeds"] for line in lines) < len(SEEDS):
        return (
            f"So far, one of {len(SEEDS)} seeds of every candidate is used: hypervolume counts "
            "its luck, and finalists have no further seeds."
        )
    return None


def unplayed(lines: Iterable[Line], names: Iterable[str]) -> str:
    """Return how many replays each task has, and which of some policies have none."""
    counts = Counter((line["policy"], line["task"]) for line in lines)
    played = {policy for policy, _ in counts}
    fewest, most = min(counts.values()), max(counts.values())
    told = f"Replays of each task: {fewest if fewest == most else f'{fewest} to {most}'}."
    missing = ", ".join(f"`{name}`" for name in names if name not in played)
    return f"{told} Not replayed: {missing}." if missing else told


def everything(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return a row for what would be chosen if all were trained; none where nothing could be."""
    told = (line for line in lines if line["everything"] is not None)
    made = {(line["task"], line["seed"]): line["everything"] for line in told}
    row = {"policy": "everything trained", **_of_choices([*made.values()])}
    return [row] if made else []


def ceilings(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return a row per set of policies whose space cannot cover all: what it covers, by task."""
    by_policy: dict[str, dict[str, float]] = defaultdict(dict)
    for line in lines:
        by_policy[line["policy"]][line["task"]] = line["ceiling"]
    by_space: dict[tuple[tuple[str, float], ...], list[str]] = defaultdict(list)
    for name, found in by_policy.items():
        if min(found.values()) < 1:
            by_space[tuple(sorted(found.items()))].append(f"`{name}`")
    return [{"policies": ", ".join(names), **dict(found)} for found, names in by_space.items()]


def summary(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return a row per policy.

    ``epochs to 99 %`` is the geometric mean, over the tasks, of the median over the replays; one
    that never came so far counts as all the epochs of the table, so the figure is a lower bound
    where ``reached`` is below 1. ``of random`` is that beside the same of random search, ``of its
    space`` the epochs to 99 % of what the methods of the policy's space cover, ``90 %`` those to so
    much of the whole, and ``compute`` that to 99 % in compute. Regret and its spread, ``fair``
    regret, told without the oracle's luck, the share within one standard error of the oracle, and
    the median ratio of parameters are those of the choice after `HEADLINE` epochs; ``tried`` is the
    regret of the best of all that was completed, ``for compute`` that of the choice after
    `compare.COMPUTE`.
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
    return _over_tasks(lines, lambda line: _epochs_to(line, share))


def _of_its_space(lines: Iterable[Line]) -> float:
    """Return the same for the epochs to 99 % of what the methods of its space cover."""
    return _over_tasks(lines, lambda line: _epochs_to(line, 0.99 * line["ceiling"]))


def _epochs_to(line: Line, share: float) -> float:
    reached = (epochs for epochs, found in line["growth"] if found >= share)
    return float(next(reached, line["epochs_of_all"]))


def _over_tasks(lines: Iterable[Line], needed: Callable[[Line], float]) -> float:
    by_task: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        by_task[line["task"]].append(needed(line))
    return statistics.geometric_mean(statistics.median(found) for found in by_task.values())


def _row(name: str, lines: Sequence[Line], needed: float, baseline: float | None) -> dict[str, Any]:
    choices = [line["delivered"][HEADLINE] for line in lines]
    made = [choice for choice in choices if choice is not None]
    regrets = [choice["regret"] for choice in made]
    chosen, can_cover_all = _of_choices(made), all(line["ceiling"] == 1 for line in lines)
    for_compute = [line["delivered_for_compute"] for line in lines]
    later = [choice["regret"] for choice in for_compute if choice is not None]
    return {
        "policy": name,
        "tasks": len({line["task"] for line in lines}),
        "replays": len(lines),
        "epochs to 99 %": round(needed, 1),
        "of random": None if baseline is None else round(needed / baseline, 3),
        "of its space": None if can_cover_all else round(_of_its_space(lines), 1),
        "90 %": round(epochs_to(lines, 0.9), 1),
        "compute": round(needed_for_99(lines, "compute"), 1),
        "reached": round(statistics.fmean(line["epochs_to_99"] is not None for line in lines), 3),
        "regret": chosen["regret"],
        "fair": chosen["fair"],
        "sd": round(statistics.stdev(regrets), 4) if len(regrets) > 1 else None,
        "tried": round(statistics.fmean(c["tried"] for c in made), 4) if made else None,
        "for compute": round(statistics.fmean(later), 4) if later else None,
        "within 1 SE": chosen["within 1 SE"],
        "parameters": chosen["parameters"],
        "seconds": round(statistics.median(line["cpu_seconds"] for line in lines), 1),
    }


def _of_choices(made: Sequence[Line]) -> dict[str, Any]:
    return {
        "regret": round(statistics.fmean(c["regret"] for c in made), 4) if made else None,
        "fair": round(statistics.fmean(c["fair_regret"] for c in made), 4) if made else None,
        "within 1 SE": round(statistics.fmean(c["within"] for c in made), 3) if made else None,
        "parameters": round(statistics.median(c["ratio"] for c in made), 3) if made else None,
    }


def aims(lines: Sequence[Line]) -> list[str]:
    """Return a sentence per aim: what is aimed at, and what `OURS` does.

    Nothing is said where `OURS` or the generic policies were not replayed.
    """
    rows = {row["policy"]: row for row in summary(lines)}
    own, floor = rows.get(OURS), rows.pop(FLOOR, None)
    generic = [row for name, row in rows.items() if not name.startswith("ours")]
    if own is None or not generic:
        return []
    told = [f"`{OURS}` needs {_beside_best(own, generic, 'epochs to 99 %')}; aimed at: at most 0.5"]
    told.append(f"to 90 % it needs {_beside_best(own, generic, '90 %')}")
    there = [row for row in generic if row["policy"].endswith(SAME_SPACE)]
    if there and own["of its space"] is not None:
        beside = _beside_best(own, there, "of its space")
        told.append(f"in its own space, to 99 % of what that covers, it needs {beside}")
    if own["of random"] is not None:
        beside = f"it needs {own['of random']:.2f} of those of random search"
        if (same := rows.get(BASELINE + SAME_SPACE)) is not None:
            ratio = own["epochs to 99 %"] / same["epochs to 99 %"]
            beside += f", {ratio:.2f} of those of random search in its space"
        told.append(f"{beside}; at most 0.2")
    if floor is not None and floor["of random"] is not None:
        told.append(
            f"told beforehand what every candidate scores under one seed, one still needs "
            f"{floor['of random']:.2f} of the epochs of random search"
        )
    return [*told, *_aims_of_choices(own, rows.values())]


def _beside_best(own: Line, others: Sequence[Line], column: str) -> str:
    """Return what is needed as a share of what the best of some generic policies needs."""
    best = min(others, key=lambda row: row[column])
    ratio = own[column] / best[column]
    return f"{ratio:.2f} of the epochs of the best generic policy, `{best['policy']}`"


def _aims_of_choices(own: Line, rows: Iterable[Line]) -> Iterator[str]:
    """Yield the aims of what is delivered; none where nothing is."""
    if own["regret"] is None:
        return
    yield f"its regret is {100 * own['regret']:.2f} points on average; at most 0.5"
    least = min((row for row in rows if row["regret"] is not None), key=lambda row: row["regret"])
    if least["regret"] < own["regret"]:
        yield f"`{least['policy']}` has the lowest regret, {100 * least['regret']:.2f} points"
    yield (
        f"the best that it tried is {100 * own['tried']:.2f} points behind the oracle: the rest of "
        "the regret is lost by choosing"
    )
    yield (
        f"{own['within 1 SE']:.0%} of its choices are within one standard error of the oracle; "
        "at least 90 %"
    )
    yield (
        f"they train {own['parameters']:.2f} of the oracle's parameters in the median; at most 0.5"
    )
