"""Compare searches on the table: how fast each finds the front, and what it would deliver.

    python -m benchmarks.search.compare
    python -m benchmarks.search.compare --policies random,tpe,ours --seeds 10 --tasks subj,mr
    python -m benchmarks.search.compare --show

Every policy is replayed on every task under every seed until it has found 99 % of the hypervolume,
and for 200 epochs and the compute of 100 epochs of the default at least, or has been given the
whole table, as far as it has methods of its space: no figure depends on where one stops looking.
What a policy learns it learns on all other tasks, whichever are replayed; a table that lacks a
training is refused. One JSON line per replay in ``results/search/BACKBONE.jsonl``; a replay of the
same table that is there is not made again, unless ``--again`` names its policy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from autopeft.bench.circumstances import circumstances
from autopeft.bench.lines import add_line, whole_lines
from autopeft.records import TrialState
from benchmarks import ledger
from benchmarks.protocol import CELLS, EPOCHS, listed
from benchmarks.search.choice import Delivered, Referee
from benchmarks.search.hypervolume import NEARLY_ALL, Scale, epochs_to, growth
from benchmarks.search.policies import ENTRANTS
from benchmarks.search.policies.learned import Knowledge, learn
from benchmarks.search.recorded import Table, complete_tables
from benchmarks.search.replay import Policy, Step, replay, within
from benchmarks.search.summary import show
from benchmarks.table.candidates import SEEDS, TASKS

RESULTS = ledger.RESULTS / "search"
REPLAYS = 30
BUDGETS = (50, 100, 200)
"""Epochs after which the choice is looked at."""

COMPUTE = 100
"""Compute after which the choice is looked at, in epochs of the default; see `Table.price`."""

Line = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Replay what is missing, print the summary, return it."""
    options = _parser().parse_args(arguments)
    file = options.results / f"{options.backbone}.jsonl"
    if not options.show:
        _replay_all(options, _scales(options), file)
    lines = [line for line in current_lines(file) if line["policy"] in options.policies]
    return show([line for line in lines if line["task"] in options.tasks])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=listed, default=TASKS)
    parser.add_argument("--policies", type=listed, default=tuple(ENTRANTS))
    parser.add_argument("--seeds", type=int, default=REPLAYS, help="replays of each")
    parser.add_argument("--again", type=listed, default=(), help="policies to replay anew")
    parser.add_argument("--show", action="store_true", help="replay nothing, show the summary")
    parser.add_argument("--recorded", type=int, default=len(SEEDS), help="seeds of each row")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the recorded trainings")
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument(
        "--cells", type=Path, default=CELLS, help="folder of the recorded trainings"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser


def _scales(options: argparse.Namespace) -> dict[str, Scale]:
    """Return what is replayed, and what is learnt from if one of the policies learns, by task.

    Raises:
        SystemExit: a training is not recorded.
    """
    learns = any(ENTRANTS[name].learns for name in options.policies)
    tasks = dict.fromkeys((*options.tasks, *(TASKS if learns else ())))
    try:
        tables = complete_tables(options, tasks)
    except FileNotFoundError as error:  # the backbone's
        raise SystemExit(str(error)) from None
    return {table.task: Scale.of(table) for table in tables}


def _replay_all(options: argparse.Namespace, scales: Mapping[str, Scale], file: Path) -> None:
    known = {_key(line) for line in read_lines(file) if line["policy"] not in options.again}
    told = circumstances()
    for task in options.tasks:
        scale = scales[task]
        others = [scales[name].table for name in TASKS if name in scales and name != task]
        knowledge, referee = learn(others), Referee(scale.table)
        everything = cache(partial(_of_everything, scale.table, referee))
        for name, seed in product(options.policies, range(options.seeds)):
            cell = _cell(name, scale.table, seed, others)
            if _key(cell) in known:
                continue
            began = time.process_time()
            policy, steps = _replayed(name, scale, knowledge, seed)
            line = {
                **cell,
                **measured(scale, referee, steps),
                "ceiling": round(scale.share_of(within(scale.table, policy.space)), 4),
                "cpu_seconds": round(time.process_time() - began, 1),
                "everything": everything(seed),
                "commit": told["commit"],
                "date": told["date"],
            }
            add_line(file, line)
            print(f"{scale.table.task} {name} seed {seed}: {line['epochs_to_99']}", flush=True)


def _cell(name: str, table: Table, seed: int, others: Sequence[Table]) -> dict[str, Any]:
    """Return what a replay is made from."""
    return {
        "policy": name,
        "version": ENTRANTS[name].version,
        "task": table.task,
        "seed": seed,
        "table": table.digest,
        "learnt_on": {one.task: one.digest for one in others} if ENTRANTS[name].learns else {},
        "rows": len(table.rows),
        "epochs_of_all": table.epochs * len(table.rows),
        "compute_of_all": table.compute,
        "seeds": table.seeds,
    }


def _replayed(
    name: str, scale: Scale, knowledge: Knowledge, seed: int
) -> tuple[Policy, list[Step]]:
    entrant = ENTRANTS[name]
    given = knowledge if entrant.learns else Knowledge()
    policy = entrant.make(scale.table, given, seed)
    return policy, replay(
        policy, scale.table, seed=seed, enough=lambda steps: _is_enough(scale, steps)
    )


def _of_everything(table: Table, referee: Referee, seed: int) -> dict[str, Any] | None:
    """Return what would be delivered of all rows, of the same recorded seeds as in a replay."""
    policy = ENTRANTS["random"].make(table, Knowledge(), seed)
    return _plain(referee.judge(replay(policy, table, seed=seed)))


def _is_enough(scale: Scale, steps: Sequence[Step]) -> bool:
    """Return whether everything that is measured is known."""
    if not steps or steps[-1].epochs < max(BUDGETS) or steps[-1].compute < COMPUTE:
        return False
    return scale.share_of([s.row for s in steps if s.state is TrialState.COMPLETE]) >= NEARLY_ALL


def measured(scale: Scale, referee: Referee, steps: Sequence[Step]) -> dict[str, Any]:
    """Return what is kept of a replay.

    ``growth``: [epochs spent, normalised hypervolume], where it grew; ``epochs_to_99``: epochs to
    99 % of it, None if it never came so far, and ``compute_to_99`` the compute; ``delivered``: per
    budget in epochs, what would be delivered, and ``delivered_for_compute`` after `COMPUTE`; see
    `_plain`.
    """
    points = growth(scale, steps)
    grown = [now for was, now in pairwise(points) if now[1] > was[1]]
    reached = epochs_to(points)
    return {
        "epochs": steps[-1].epochs if steps else 0,
        "trainings": len(steps),
        "compute": round(steps[-1].compute, 1) if steps else 0.0,
        "epochs_to_99": reached,
        "compute_to_99": next((round(s.compute, 1) for s in steps if s.epochs == reached), None),
        "growth": [[epochs, round(share, 4)] for epochs, share in grown],
        "delivered": {
            str(budget): _plain(referee.judge([s for s in steps if s.epochs <= budget]))
            for budget in BUDGETS
        },
        "delivered_for_compute": _plain(referee.judge([s for s in steps if s.compute <= COMPUTE])),
    }


def _plain(delivered: Delivered | None) -> dict[str, Any] | None:
    if delivered is None:
        return None
    return {
        "regret": round(delivered.regret, 5),
        "fair_regret": round(delivered.fair_regret, 5),
        "tried": round(delivered.tried, 5),
        "within": delivered.within,
        "ratio": float(f"{delivered.ratio:.3g}"),
        "candidate": delivered.row.candidate.describe(),
    }


def _key(line: Line) -> tuple[Any, ...]:
    replayed = line["policy"], line.get("version"), line["task"], line["seed"]
    return *replayed, *sorted(_tables_of(line).items())


def _tables_of(line: Line) -> dict[str, str]:
    """Return the digest of every table that a replay has seen, by task."""
    return {line["task"]: line["table"], **line["learnt_on"]}


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a results file; of the same replay the last one."""
    lines = [json.loads(text) for text in whole_lines(file)]
    return list({_key(line): line for line in lines}.values())


def current_lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines that may be compared with each other.

    They are of the tables and of the policies as they last were, and what learns has learnt on all
    other tasks.
    """
    lines = [line for line in read_lines(file) if _is_comparable(line)]
    last: dict[str, str] = {}
    for line in lines:
        last |= _tables_of(line)
    return [line for line in lines if _tables_of(line).items() <= last.items()]


def _is_comparable(line: Line) -> bool:
    entrant = ENTRANTS.get(line["policy"])
    if entrant is None or line.get("version") != entrant.version:
        return False
    return set(line["learnt_on"]) == (set(TASKS) - {line["task"]} if entrant.learns else set())


if __name__ == "__main__":
    main()
