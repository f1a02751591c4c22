"""Knowing when to stop: what is foreseen of further trials, and what then comes of them.

    python -m benchmarks.search.stopping          plays it all, two minutes, and keeps it
    python -m benchmarks.search.stopping --show   prints the tables of docs/choosing.md

Three kinds of made-up searches: random ones, ones that learn, and the program's own search (Optuna
behind `autopeft.search.study`) on the made-up curves of its tests.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autopeft.records import Candidate, Costs, TrialRecord, TrialState
from autopeft.search.convergence import BEYOND, COHORT, LEAST_TRIALS, outlook
from autopeft.search.front import Point, area, gain, size
from benchmarks import ledger
from docs.pages.markdown import table

RESULT = ledger.RESULTS / "search-stopping.json"

LONGEST = 160
"""Trials of every search."""

LOOKS = (24, 48, 96)
"""Trials after which a look ahead is compared with what comes."""

FURTHER = (COHORT, 5 * COHORT)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Play, keep and return the results, or show those that are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plays", type=int, default=200, help="made-up searches of each kind")
    parser.add_argument("--own", type=int, default=10, help="searches by the program itself")
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print the tables of the last run")
    options = parser.parse_args(arguments)
    if not options.show:
        plays = {"random": options.plays, "learning": options.plays, "TPE": options.own}
        kinds = {name: played(SEARCHES[name], count) for name, count in plays.items() if count}
        ledger.append(options.result, {"plays": plays, "kinds": kinds})
    run = ledger.read(options.result)[-1]
    print("\n".join(tables(run)))
    return run


def random_search(seed: int) -> list[TrialRecord]:
    """Return a search whose trials are all alike."""
    draw = np.random.default_rng(seed)
    return _records(draw, np.zeros(LONGEST))


def learning_search(seed: int) -> list[TrialRecord]:
    """Return a search whose trials get better, fast at first."""
    draw = np.random.default_rng(seed)
    return _records(draw, -0.05 * np.exp(-np.arange(LONGEST) / 25))


def own_search(seed: int) -> list[TrialRecord]:
    """Return a search by the program itself over the default space, on made-up curves.

    It is told nothing of other tasks: what was recorded on those says nothing of curves made up.
    """
    import optuna

    from autopeft.search.load import load_space
    from autopeft.search.portfolio import hand_made
    from autopeft.search.study import Search
    from autopeft.store import TrialStore
    from tests.search.made_up import backbone, evaluate

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space("default").restrict(shape=backbone())
    search = Search(
        trials=TrialStore(optuna.create_study(directions=["maximize", "minimize"])),
        space=space,
        higher_is_better=True,
        first=list(hand_made(space)),
        seed=seed,
        max_trials=LONGEST,
    )
    for proposal in search.candidates():
        evaluate(search, proposal)
    return search.trials.records()


SEARCHES: Mapping[str, Callable[[int], list[TrialRecord]]] = {
    "random": random_search,
    "learning": learning_search,
    "TPE": own_search,
}


def played(search: Callable[[int], list[TrialRecord]], plays: int) -> dict[str, Any]:
    """Return, over searches of a kind, what was foreseen and what came, and when they stopped."""
    ahead: dict[str, list[tuple[float, float, float]]] = {}
    stops: list[tuple[int, float]] = []
    for seed in range(plays):
        records = search(seed)
        for look in LOOKS:
            found = outlook(records[:look], higher_is_better=True)
            for further in FURTHER:
                if found is None or look + further > len(records):
                    continue
                came = _height(records, look + further) - _height(records, look)
                ahead.setdefault(f"{look}+{further}", []).append((*found.after(further), came))
        stops.append(_stop(records))
    return {
        "ahead": {
            key: {
                "expected": float(np.mean([row[0] for row in rows])),
                "most": float(np.mean([row[1] for row in rows])),
                "came": float(np.mean([row[2] for row in rows])),
            }
            for key, rows in ahead.items()
        },
        "stopped_after": [int(value) for value in np.quantile([s for s, _ in stops], (0, 0.5, 1))],
        "missed": [float(value) for value in np.quantile([m for _, m in stops], (0.5, 0.9))],
    }


def _stop(records: Sequence[TrialRecord]) -> tuple[int, float]:
    """Return after how many trials a search looked converged, and the share of the area it missed.

    A look is taken after every cohort, as in a search; one that never converges stops at its end.
    """
    whole = _height(records, len(records))
    for count in range(LEAST_TRIALS + COHORT, len(records), COHORT):
        found = outlook(records[:count], higher_is_better=True)
        if found is not None and found.converged:
            return count, 1 - _height(records, count) / whole
    return len(records), 0.0


def _height(records: Sequence[TrialRecord], count: int) -> float:
    """Return the mean height of the front of the first trials over the sizes of all."""
    points = [
        Point(gain=gain(r.score, True), size=size(r.costs.trainable_params))
        for r in records
        if r.origin != "head" and r.state is TrialState.COMPLETE
    ]
    kept = {r.number for r in records[:count]}
    first = [
        Point(gain=gain(r.score, True), size=size(r.costs.trainable_params))
        for r in records
        if r.number in kept and r.origin != "head" and r.state is TrialState.COMPLETE
    ]
    floor = next(gain(r.score, True) for r in records if r.origin == "head")
    widest = max(point.size for point in points) + BEYOND
    return area(first, floor=floor, most=widest) / widest


def _records(draw: np.random.Generator, shift: np.ndarray) -> list[TrialRecord]:
    """Return trials of which many are nearly as good as their size allows, and some are bad."""
    sizes = draw.uniform(2.0, 6.0, len(shift))
    scores = 0.70 + 0.03 * sizes - draw.exponential(0.03, len(shift)) + shift
    records = [_record(0, 0.65, 0, "head")]
    for number, (score, log_size) in enumerate(zip(scores, sizes, strict=True), start=1):
        records.append(_record(number, float(score), round(10**log_size), "tpe"))
    return records[:-1]


def _record(number: int, score: float, params: int, origin: str) -> TrialRecord:
    return TrialRecord(
        number=number,
        candidate=Candidate(method="lora", learning_rate=1e-3, epochs=1),
        seed=0,
        state=TrialState.COMPLETE,
        origin=origin,
        costs=Costs(trainable_params=params),
        score=score,
    )


def tables(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables in docs/choosing.md."""
    yield from ("By how many points the front rises on average: foreseen (at most) → came:", "")
    keys = [f"{look}+{further}" for look in LOOKS for further in FURTHER]
    heads = [f"{look} trials, {further} more" for look in LOOKS for further in FURTHER]
    yield from table(
        ("search", *heads),
        (
            (name, *(_ahead(of["ahead"].get(key)) for key in keys))
            for name, of in run["kinds"].items()
        ),
    )
    yield from ("", f"Stopped where it looks converged, of {LONGEST} trials:", "")
    yield from table(
        ("search", "trials: fewest, median, most", "area missed: median, nine in ten below"),
        (
            (
                name,
                ", ".join(map(str, of["stopped_after"])),
                ", ".join(f"{100 * value:.1f} %" for value in of["missed"]),
            )
            for name, of in run["kinds"].items()
        ),
    )


def _ahead(of: Mapping[str, float] | None) -> str:
    if of is None:
        return "–"
    expected, most, came = (100 * of[key] for key in ("expected", "most", "came"))
    return f"{expected:.2f} ({most:.2f}) → {came:.2f}"


if __name__ == "__main__":
    main()
