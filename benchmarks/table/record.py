"""Record the table: every candidate on every task under two seeds.

    python -m benchmarks.table.record --assets FOLDER
    python -m benchmarks.table.record --assets FOLDER --tasks subj,mr --seeds 0
    python -m benchmarks.table.record --show

FOLDER holds a folder per task with its splits. One line per training in
``results/cells/BACKBONE/TASK.jsonl``, or ``TASK-ROWS.jsonl`` where not on 1,000 rows, kept as soon
as it has ended: what is there is not trained again, so the same command goes on where it was
stopped. What is cheap comes first, on all tasks, and the first seed of all before the second, so
that whatever has been recorded makes a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from autopeft.bench.cells import Cell, Cells
from autopeft.data.demo import demo_model
from benchmarks.protocol import MAX_LENGTH, add_options, file_of, listed, opened, tell
from benchmarks.table.backbone import FILE, Backbone
from benchmarks.table.candidates import SEEDS, TASKS, families, stages


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, then print how much of the table there is."""
    options = _parser().parse_args(arguments)
    if not options.show:
        _record(options)
    for line in progress(options):
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, TASKS)
    parser.add_argument("--seeds", type=_numbers, default=SEEDS)
    parser.add_argument("--stages", type=listed, help="only these; default: all, in this order")
    parser.add_argument("--show", action="store_true", help="train nothing, say what there is")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in listed(text))


def folder_of(options: argparse.Namespace) -> Path:
    """Return the folder of the backbone's cells."""
    return file_of(options, "any").parent


def _record(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for stage, found in stages(_backbone(options), options.epochs).items():
            if options.stages and stage not in options.stages:
                continue
            for task in options.tasks:
                wanted = [Cell(one, seed) for one in found]
                known = _known(options, task)
                missing = [cell for cell in wanted if known is None or known.get(cell) is None]
                if missing:
                    print(f"{task} seed {seed} {stage}: {len(missing)} trainings", flush=True)
                    with opened(options, task) as bench:
                        bench.train(missing, tell)


def _backbone(options: argparse.Namespace) -> Backbone:
    """Return what is known of the backbone, kept beside its cells."""
    folder = folder_of(options)
    if not (folder / FILE).is_file():
        Backbone.of(options.model or str(demo_model()), MAX_LENGTH).write(folder)
    return Backbone.read(folder)


def _known(options: argparse.Namespace, task: str) -> Cells | None:
    file = file_of(options, task)
    return Cells(file) if file.is_file() else None


def progress(options: argparse.Namespace) -> list[str]:
    """Return a line per task and seed: how many of the candidates are recorded, and failed."""
    every = [one for found in stages(_backbone(options), options.epochs).values() for one in found]
    lines = [f"{len(every)} candidates; by family: {_counts(families(every))}"]
    for task in options.tasks:
        known = _known(options, task)
        for seed in options.seeds:
            found = [known.get(Cell(one, seed)) for one in every] if known else []
            states = [line["state"] for line in found if line]
            failed = states.count("failed")
            lines.append(f"{task} seed {seed}: {len(states)} of {len(every)}, {failed} failed")
    return lines


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))


if __name__ == "__main__":
    main()
