"""Which rule of preference to choose by, on recorded trainings of real tasks.

    python -m benchmarks.search.rules          plays it all, and keeps it
    python -m benchmarks.search.rules --show   prints the table of docs/choosing.md

A play is a search at random: the default, the head alone and some more rows of a task's table, one
training of each; the finalists by the program's rule, all their recorded seeds, and the program's
choice by each rule, seeing a part of the selection rows. Told is how far the mean test score of the
choice is behind the best of all that were tried, and ahead of the default. That best is picked by
test scores, which flatters it, for every rule alike.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from autopeft.records import Costs, TrialRecord, TrialState
from autopeft.search.bootstrap import Replicate
from autopeft.search.finalist import Finalist
from autopeft.search.front import Point
from autopeft.search.select import choose, finalists
from autopeft.tasks.metric import resampled, score
from benchmarks import ledger
from benchmarks.search.choice import finalist_of, origins_of
from benchmarks.search.choosing import RULES
from benchmarks.search.recorded import Table, add_table_options, tables_of
from docs.pages.markdown import table

RESULT = ledger.RESULTS / "search-rules.json"
TRIED = (8, 24)
"""Rows that a play tries beside the references."""

SHARES = (0.3, 1.0)
"""Of the selection rows that a play sees."""

RESAMPLES = 400


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Play, keep and return the results, or show those that are kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plays", type=int, default=100, help="of each kind on each task")
    add_table_options(parser, RESULT)
    options = parser.parse_args(arguments)
    if not options.show:
        tables = tables_of(options)
        result = {
            "plays": options.plays,
            "recorded": options.recorded,
            "tables": {one.task: {"rows": len(one.rows), "table": one.digest} for one in tables},
            "kinds": [
                {
                    "task": one.task,
                    "tried": tried,
                    "share": share,
                    **played(game, tried, options.plays),
                }
                for one, share in product(tables, SHARES)
                for game in [Game(one, share)]
                for tried in TRIED
            ],
        }
        ledger.append(options.result, result)
    run = ledger.read(options.result)[-1]
    print("\n".join(lines(run)))
    return run


def played(game: Game, tried: int, plays: int) -> dict[str, Any]:
    """Return what came of so many plays, by rule: means over the plays."""
    outcomes = [game.play(tried, seed) for seed in range(plays)]
    return {
        "selection": game.count,
        "rules": {
            rule: {
                key: statistics.fmean(outcome[rule][key] for outcome in outcomes)
                for key in ("behind", "ahead", "size")
            }
            for rule in RULES
        },
    }


class Game:
    """Searches at random on a table, by selection rows of which only a share is seen.

    Args:
        recorded: the table of a task; a row counts if all its trainings came to their end.
        share: of the selection rows.

    Raises:
        ValueError: the default is not among the rows that count.
    """

    def __init__(self, recorded: Table, share: float) -> None:
        self._table = recorded
        self._targets = recorded.targets["selection"]
        self.count = round(share * len(self._targets))
        self._rows = [row for row in recorded.rows if row.test is not None]
        self._predictions = [
            [one.predictions("selection") for one in row.trainings] for row in self._rows
        ]
        origins = origins_of(recorded)
        self._origins = [origins.get(row.candidate.fingerprint, "tpe") for row in self._rows]
        if "default" not in self._origins:
            raise ValueError(f"the trainings of the default LoRA on {recorded.task} are incomplete")

    def play(self, tried: int, seed: int) -> dict[str, dict[str, float]]:
        """Return by rule how far a choice is behind the best, ahead of the default, and its size.

        Args:
            tried: rows beside the references.
            seed: draws them, the selection rows, and the training that is tried of each.
        """
        draw = np.random.default_rng(seed)
        seen = draw.choice(len(self._targets), self.count, replace=False)
        fixed = [n for n, origin in enumerate(self._origins) if origin != "tpe"]
        others = [n for n, origin in enumerate(self._origins) if origin == "tpe"]
        drawn = [*fixed, *draw.choice(others, min(tried, len(others)), replace=False)]
        every = {int(n): self._replicates(int(n), seen) for n in drawn}
        first = {n: found[draw.integers(len(found))].score for n, found in every.items()}
        finals = [
            finalist_of(n, self._rows[n], self._origins[n], every[n])
            for n in self._finalists(first)
        ]
        gains = {n: self._table.gain(self._rows[n].test) for n in every}
        default = next(n for n in fixed if self._origins[n] == "default")
        outcome = {}
        for rule in RULES:
            number = self._choice(finals, seen, rule, first)
            outcome[rule] = {
                "behind": max(gains.values()) - gains[number],
                "ahead": gains[number] - gains[default],
                "size": self._rows[number].size,
            }
        return outcome

    def _replicates(self, number: int, seen: np.ndarray) -> tuple[Replicate, ...]:
        return tuple(
            Replicate(
                seed=training.seed,
                score=score(self._table.metric, self._targets[seen], predicted[seen]),
                predictions=predicted[seen],
            )
            for training, predicted in zip(
                self._rows[number].trainings, self._predictions[number], strict=True
            )
        )

    def _finalists(self, first: Mapping[int, float]) -> list[int]:
        records = [
            TrialRecord(
                number=number,
                candidate=self._rows[number].candidate,
                seed=0,
                state=TrialState.COMPLETE,
                origin=self._origins[number],
                costs=Costs(trainable_params=self._rows[number].trainable_params),
                score=found,
            )
            for number, found in first.items()
        ]
        return finalists(records, higher_is_better=self._table.higher_is_better)

    def _choice(
        self, final: list[Finalist], seen: np.ndarray, rule: str, first: Mapping[int, float]
    ) -> int:
        made, targets = self._table, self._targets[seen]
        return choose(
            final,
            lambda predicted, weights: resampled(made.metric, targets, predicted, weights),
            rows=len(targets),
            higher_is_better=made.higher_is_better,
            within=rule,
            tried=[
                Point(gain=made.gain(found), size=self._rows[n].size) for n, found in first.items()
            ],
            resamples=RESAMPLES,
        ).number


def lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of all tasks together, then one per task: a line per kind of play."""
    kinds = run["kinds"]
    by_task: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in kinds:
        by_task[one["task"]].append(one)
    for title, found in {"all tasks": kinds, **by_task}.items():
        by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in found:
            by_kind[_kind(one)].append(one)
        yield from table(
            (title, *(f"`--within {rule}`" for rule in RULES)),
            ((kind, *_cells(of)) for kind, of in by_kind.items()),
        )
        yield ""


def _kind(one: Mapping[str, Any]) -> str:
    return f"{one['tried']} tried, {100 * one['share']:.0f} % of the rows"


def _cells(of: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield by rule points behind the best, points ahead of the default, log10(parameters)."""
    for rule in RULES:
        behind, ahead, size = (
            statistics.fmean(one["rules"][rule][key] for one in of)
            for key in ("behind", "ahead", "size")
        )
        yield f"{100 * behind:.2f}, {100 * ahead:+.2f}, {size:.1f}"


if __name__ == "__main__":
    main()
