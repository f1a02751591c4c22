"""Choosing well, with true scores known: what the statistics of the choice promise and keep.

    python -m benchmarks.search.choosing          plays it all, a few minutes, and keeps it
    python -m benchmarks.search.choosing --show   prints the tables of docs/choosing.md

Made-up searches (`benchmarks.search.made_up_finals`): finalists by first score, further seeds, the
choice by the program's own functions. The true scores are known, so every promise can be counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autopeft.search.finalist import Choice, Row
from autopeft.search.front import Point
from autopeft.search.racing import undecided
from autopeft.search.select import choose, tolerance
from benchmarks import ledger
from benchmarks.search.made_up_finals import World, accuracy, world
from docs.pages.markdown import table

RESULT = ledger.RESULTS / "search-choosing.json"

KINDS: Mapping[str, Mapping[str, Any]] = {
    "30 tried, 300 rows": {"tried": 30, "rows": 300},
    "30 tried, 300 rows, crowded": {"tried": 30, "rows": 300, "crowded": True},
    "12 tried, 150 rows, crowded": {"tried": 12, "rows": 150, "crowded": True},
    "12 tried, 300 rows, restless seeds": {"tried": 12, "rows": 300, "seed_spread": 0.08},
    "60 tried, 1,000 rows": {"tried": 60, "rows": 1000},
}
"""Kinds of made-up searches; `restless` seeds spread by about two points."""

DIVIDED: Mapping[str, Mapping[str, Any]] = {
    "12 tried, 20 rows": {"tried": 12, "rows": 20},
    "12 tried, 60 rows, crowded": {"tried": 12, "rows": 60, "crowded": True},
    **{name: KINDS[name] for name in ("12 tried, 150 rows, crowded", "30 tried, 300 rows")},
}
"""Kinds that are played twice: further seeds on the same rows, and each on rows of its own."""

RULES = ("0", "0.5pt", "1se,0.5pt", "1se", "2se")
FINALISTS = 5
SEEDS = 3
MOST_SEEDS = 5
BANDS = ((0.0, 0.6), (0.6, 0.75), (0.75, 0.85), (0.85, 0.95), (0.95, 1.01))
RESAMPLES = 400


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Play, keep and return the results, or show those that are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plays", type=int, default=400, help="searches of each kind")
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print the tables of the last run")
    options = parser.parse_args(arguments)
    if not options.show:
        result = {
            "plays": options.plays,
            "kinds": {name: played(kind, options.plays) for name, kind in KINDS.items()},
            "divided": {name: divided(kind, options.plays) for name, kind in DIVIDED.items()},
        }
        ledger.append(options.result, result)
    run = ledger.read(options.result)[-1]
    print("\n".join(tables(run)))
    return run


def played(kind: Mapping[str, Any], plays: int) -> dict[str, Any]:
    """Return what came of so many searches of a kind."""
    generator = np.random.default_rng(0)
    worlds = (world(generator, seeds=MOST_SEEDS, **kind) for _ in range(plays))
    rows = [one(made) for made in worlds]
    said = np.array([row["said"] for row in rows])
    kept = np.array([row["kept"] for row in rows])
    return {
        "bands": [_band(said, kept, low, high) for low, high in BANDS],
        "said": float(said.mean()),
        "kept": float(kept.mean()),
        "curse": _mean(rows, "curse"),
        "corrected": _mean(rows, "corrected"),
        "inside": _mean(rows, "inside"),
        "rules": {
            rule: {
                "regret": _mean([row["rules"][rule] for row in rows], "regret"),
                "within_se": _mean([row["rules"][rule] for row in rows], "within_se"),
                "size": _mean([row["rules"][rule] for row in rows], "size"),
            }
            for rule in RULES
        },
        "race": {
            how: {
                "regret": _mean([row["race"][how] for row in rows], "regret"),
                "trainings": _mean([row["race"][how] for row in rows], "trainings"),
            }
            for how in ("equal", "race")
        },
    }


def divided(kind: Mapping[str, Any], plays: int) -> dict[str, Any]:
    """Return what came of a kind with further seeds on the same rows, and on rows of their own."""
    found = {}
    for how, folds in (("same", False), ("own", True)):
        generator = np.random.default_rng(0)
        worlds = (world(generator, seeds=SEEDS, folds=folds, **kind) for _ in range(plays))
        rows = [promised(made, ruled(made)) for made in worlds]
        found[how] = {
            **{key: _mean(rows, key) for key in ("said", "kept", "corrected", "inside")},
            "rules": {rule: _mean([row["rules"][rule] for row in rows], "regret")
                      for rule in RULES},
        }  # fmt: skip
    return found


def one(made: World) -> dict[str, Any]:
    """Return what came of one search: promises of the choice, all rules, and the race."""
    finalists = made.finalists(FINALISTS)
    equal = dict.fromkeys(map(int, finalists), SEEDS)
    choices, raced = ruled(made), race(made, finalists)
    return {
        **promised(made, choices),
        "race": {
            "equal": _regret(made, finalists, choices["1se,0.5pt"], equal),
            "race": _regret(made, finalists, chosen(made, raced, "1se,0.5pt"), raced),
        },
    }


def ruled(made: World) -> dict[str, Choice]:
    """Return the choice by each rule, every finalist with `SEEDS` seeds."""
    equal = dict.fromkeys(map(int, made.finalists(FINALISTS)), SEEDS)
    return {rule: chosen(made, equal, rule) for rule in RULES}


def promised(made: World, choices: Mapping[str, Choice]) -> dict[str, Any]:
    """Return what the choices of one search promised and kept."""
    finalists = made.finalists(FINALISTS)
    best_rule = choices["0"]
    row = _of(choices["1se"])
    picked = _of(best_rule)
    delivered = made.of_seeds[best_rule.number, best_rule.seed]
    return {
        "said": row.tied_share,
        "kept": bool(made.true[row.finalist.number] >= made.true[finalists].max() - row.margin),
        "curse": picked.mean - made.true[best_rule.number],
        "corrected": best_rule.expected.score - delivered,
        "inside": bool(best_rule.expected.low <= delivered <= best_rule.expected.high),
        "rules": {rule: _against_oracle(made, choice) for rule, choice in choices.items()},
    }


def chosen(made: World, seeds: Mapping[int, int], within: str) -> Choice:
    """Return the choice among finalists with so many seeds each."""
    first = made.first_scores()
    return choose(
        [made.finalist(number, count) for number, count in seeds.items()],
        accuracy,
        rows=made.right.shape[-1],
        higher_is_better=True,
        within=within,
        tried=[Point(gain=g, size=s) for g, s in zip(first, made.sizes, strict=True)],
        resamples=RESAMPLES,
    )


def race(made: World, finalists: np.ndarray) -> dict[int, int]:
    """Return the seeds that each finalist gets in rounds, at most as many as all with `SEEDS`."""
    seeds = dict.fromkeys(map(int, finalists), 2)
    left = (SEEDS - 2) * len(finalists)
    racing = list(seeds)
    for round_ in range(2, MOST_SEEDS):
        unsure = undecided(
            [made.finalist(number, count) for number, count in seeds.items()],
            accuracy,
            rows=made.right.shape[-1],
            higher_is_better=True,
            allowed=tolerance("1se,0.5pt"),
        )
        racing = [number for number in unsure if number in racing][:left]
        for number in racing:
            seeds[number] = round_ + 1
        left -= len(racing)
        if not racing or not left:
            break
    return seeds


def tables(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables in docs/choosing.md."""
    kinds = run["kinds"]
    bands = [f"{_whole(low)}–{_whole(min(high, 1.0))}" for low, high in BANDS]
    yield from ("Said to be best or tied, and how often it was:", "")
    yield from table(
        ("made-up searches", *bands, "all"),
        (
            (name, *(_said(band) for band in of["bands"]), _said({**of, "count": None}))
            for name, of in kinds.items()
        ),
    )
    together = [_pooled([of["bands"][i] for of in kinds.values()]) for i in range(len(BANDS))]
    yield f"| together | {' | '.join(map(_said, together))} | |"
    yield from (
        "",
        "The best of the finalists, in points: its mean score against its true mean, and what is "
        "promised against the true score of the seed that is delivered:",
        "",
    )
    yield from table(
        ("made-up searches", "mean too good by", "promise too good by", "in the interval"),
        (
            (name, _points(of["curse"]), _points(of["corrected"]), _whole(of["inside"]))
            for name, of in kinds.items()
        ),
    )
    yield from (
        "",
        "Points behind the best of all that were tried, how often that is within one standard "
        "error, and the mean of log10(parameters):",
        "",
    )
    yield from table(
        ("made-up searches", *(f"`--within {rule}`" for rule in RULES)),
        ((name, *(_rule(of["rules"][rule]) for rule in RULES)) for name, of in kinds.items()),
    )
    yield from (
        "",
        "Points behind the best finalist, and further trainings, with `--within 1se,0.5pt`:",
        "",
    )
    yield from table(
        ("made-up searches", "three seeds each", "race"),
        (
            (name, *(_raced(of["race"][how]) for how in ("equal", "race")))
            for name, of in kinds.items()
        ),
    )

    yield from (
        "",
        "Points behind the best of all that were tried, with further seeds on the same rows → each "
        "on rows of its own; then what was said to be best or tied, how often it was, and how "
        "often the score was in the promised interval, with rows of their own:",
        "",
    )
    yield from table(
        ("made-up searches", *(f"`--within {rule}`" for rule in RULES), "promises"),
        (
            (
                name,
                *(
                    f"{100 * of['same']['rules'][rule]:.2f} → {100 * of['own']['rules'][rule]:.2f}"
                    for rule in RULES
                ),
                f"{_said({**of['own'], 'count': None})}, {_whole(of['own']['inside'])}",
            )
            for name, of in run["divided"].items()
        ),
    )


def _of(choice: Choice) -> Row:
    return next(row for row in choice.table if row.finalist.number == choice.number)


def _against_oracle(made: World, choice: Choice) -> dict[str, float]:
    """Return how far the choice is behind the best of all tried, in accuracy and in words."""
    oracle = int(made.true.argmax())
    behind = float(made.true[oracle] - made.true[choice.number])
    apart = made.right[oracle, :SEEDS].mean(axis=0) - made.right[choice.number, :SEEDS].mean(axis=0)
    error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
    return {
        "regret": behind,
        "within_se": float(behind <= error),
        "size": float(made.sizes[choice.number]),
    }


def _regret(
    made: World, finalists: np.ndarray, choice: Choice, seeds: Mapping[int, int]
) -> dict[str, float]:
    return {
        "regret": float(made.true[finalists].max() - made.true[choice.number]),
        "trainings": sum(seeds.values()) - len(seeds),
    }


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _band(said: np.ndarray, kept: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Return what was said and what was kept where what was said lies in a band."""
    here = (said >= low) & (said < high)
    if not here.any():
        return {"said": None, "kept": None, "count": 0}
    return {
        "said": float(said[here].mean()),
        "kept": float(kept[here].mean()),
        "count": int(here.sum()),
    }


def _pooled(bands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    count = sum(band["count"] for band in bands)
    if not count:
        return {"said": None, "kept": None, "count": 0}
    return {
        "count": count,
        **{
            key: sum(band[key] * band["count"] for band in bands if band["count"]) / count
            for key in ("said", "kept")
        },
    }


def _said(band: Mapping[str, Any]) -> str:
    if band["said"] is None:
        return "–"
    count = "" if band["count"] is None else f" ({band['count']})"
    return f"{_whole(band['said'])} → {_whole(band['kept'])}{count}"


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _rule(of: Mapping[str, float]) -> str:
    return f"{100 * of['regret']:.2f}, {_whole(of['within_se'])}, {of['size']:.1f}"


def _raced(of: Mapping[str, float]) -> str:
    return f"{100 * of['regret']:.2f} after {of['trainings']:.1f}"


if __name__ == "__main__":
    main()
