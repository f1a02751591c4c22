"""Runs a suite: trains and searches what is missing, cell by cell, and keeps each at once."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autopeft.api.interrupt import Interrupt
from autopeft.bench.cells import Cell, Cells, Searched
from autopeft.bench.chosen import missing, repeats, seconds, tries
from autopeft.bench.circumstances import circumstances, hardware
from autopeft.bench.opened import opened
from autopeft.bench.pace import Pace
from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.rows import Rows, rows_of
from autopeft.bench.searched import run_search
from autopeft.bench.skips import Skips
from autopeft.bench.suite import Block, Entry
from autopeft.bench.training import Bench
from autopeft.bench.unfit import unfit
from autopeft.data.cache import quiet
from autopeft.errors import AutoPeftError, DataError, ModelError
from autopeft.temporary import TemporaryFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One call of a suite.

    Args:
        part: of the suite that is asked for.
        places: where data, backbones and results are.
        say: gets a line for everything that happens.
        again: whether what has a line is trained once more; the new line counts.
    """

    part: Part
    places: Places
    say: Callable[[str], None]
    again: bool = False

    def run(self) -> None:
        """Do what is missing, block by block.

        An interruption costs the pass in hand; the same command goes on from there.

        Raises:
            UsageError: results of other rows are in the way.
            Interrupted: a signal came.
        """
        logging.getLogger("lightning").setLevel(logging.ERROR)
        for block in self.part.blocks():
            if not self.todo(block):
                self.say(f"{block}: all there")
                continue
            try:
                self._block(block)
            except (DataError, ModelError) as error:
                self._skip(block, None, error)
            gc.collect()

    def todo(self, block: Block) -> list[tuple[str, int]]:
        """Return the row and the seed of every cell of a block that is known to be missing.

        With `again` that is every cell.
        """
        cells, skips = opened(self.part.suite, block, self.places), self._skips(block)
        cells = None if self.again else cells
        found: list[tuple[str, int]] = []
        for entry in self.part.entries:
            if skips.of_row(block, entry.name) and not self.again:
                continue
            tried = tries(self.part.suite, entry, block)
            if cells is None:
                found += [(entry.name, seed) for seed in self.part.seeds]
            else:
                left = missing(cells, tried, self.part.seeds)
                found += [(entry.name, seed) for seed in sorted({cell.seed for cell in left})]
        for policy in self.part.policies:
            for seed in self.part.seeds:
                if cells is None or cells.get(Searched.of(policy, seed)) is None:
                    found.append((policy.name, seed))
        return found

    def _block(self, block: Block) -> None:
        suite = self.part.suite
        data = self.places.data_of(suite.tasks[block.task])
        model = self.places.model_of(suite.backbones[block.backbone])
        self.say(f"{block}: opening")
        with quiet():
            rows = rows_of(suite, block, data)
        with TemporaryFolder("bench") as folder:
            with quiet():
                bench = Bench(
                    rows,
                    block.backbone,
                    model,
                    folder.path,
                    self.places.cells(block),
                    max_length=suite.max_length,
                )
            self._skips(block).note(block, None, None)
            with _at_once():
                self._train(block, bench)
        cells, pace = bench.cells, Pace(hardware=hardware(), about=bench.session.pace)
        del bench
        gc.collect()
        self._search(block, rows, model, cells, pace)

    def _train(self, block: Block, bench: Bench) -> None:
        """Try every rate under the first seed, then train the best under the others."""
        suite, seeds, session = self.part.suite, self.part.seeds, bench.session
        longest = int(session.train.lengths.max())
        reasons = unfit(self.part.entries, session.delivered.shape, longest)
        rows: list[tuple[Entry, list[Cell]]] = []
        for entry in self.part.entries:
            if entry.name in reasons:
                self._skip(block, entry.name, ModelError(reasons[entry.name]))
            else:
                self._skips(block).note(block, entry.name, None)
                rows.append((entry, tries(suite, entry, block)))
        names = {cell.candidate.fingerprint: e.name for e, tried in rows for cell in tried}

        def told(cell: Cell, line: dict[str, Any]) -> None:
            name = names[cell.candidate.fingerprint]
            self._tell(block, name, cell.seed, cell.candidate.describe(), line)

        first = suite.seeds[0]
        tried = [cell for _, tried in rows for cell in tried]
        bench.train(tried, told, again=self.again and first in seeds)
        others = [seed for seed in seeds if seed != first]
        chosen = [cell for _, tried in rows for cell in repeats(bench.cells, tried, others)]
        bench.train(chosen, told, again=self.again)

    def _search(self, block: Block, rows: Rows, model: str, cells: Cells, pace: Pace) -> None:
        for policy in self.part.policies:
            for seed in self.part.seeds:
                cell = Searched.of(policy, seed)
                if cells.get(cell) is not None and not self.again:
                    continue
                waiting = self.waiting(block, cells, seed)
                if waiting:
                    self._skip(block, policy.name, ModelError(waits_for(waiting)))
                    continue
                self._skips(block).note(block, policy.name, None)
                allowed = seconds(cells, self.part.suite, block, seed, pace)
                limit = min(allowed, policy.limit_seconds)
                self.say(f"{block}: {policy.name}, seed {seed}, {limit:.0f} s")
                file = self.places.cells(block)
                line = run_search(
                    cell,
                    rows,
                    model,
                    file.parent / f".{policy.name}-{file.stem}-{seed}",
                    limit_seconds=limit,
                    max_length=self.part.suite.max_length,
                )
                cells.add(cell, {**line, **circumstances()})
                self._tell(block, policy.name, seed, f"{policy.name} in {policy.space}", line)

    def waiting(self, block: Block, cells: Cells | None, seed: int) -> list[str]:
        """Return the rows whose time a search has to wait for."""
        skips, suite = self._skips(block), self.part.suite
        return [
            entry.name
            for entry in suite.entries
            if not skips.of_row(block, entry.name)
            and (cells is None or missing(cells, tries(suite, entry, block), [seed]))
        ]

    def _skips(self, block: Block) -> Skips:
        return Skips(self.places.cells(block).parent)

    def _skip(self, block: Block, row: str | None, reason: AutoPeftError) -> None:
        said = self.places.private(str(reason))
        self._skips(block).note(block, row, said)
        self.say(f"{block}{'' if row is None else f', {row}'}: left out: {said}")

    def _tell(self, block: Block, row: str, seed: int, what: str, line: dict[str, Any]) -> None:
        if line["state"] == "complete":
            (score,) = list(line["selection"].values())[:1]
            self.say(f"{block}, seed {seed}, {row}: {score:.4f} ({what})")
        else:
            self.say(f"{block}, seed {seed}, {row}: {line['cause']}: {line['message']} ({what})")


def waits_for(rows: Sequence[str]) -> str:
    """Return why a search is left out while the time of these rows is not known."""
    return f"its time is that of all methods: {', '.join(rows)} missing"


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Let a signal stop a training in this process at once, with the signal's exit code.

    Raises:
        Interrupted: a signal came; Lightning makes a plain exit of it, which is undone here.
    """
    with Interrupt() as interrupt:
        try:
            yield
            interrupt.check()
        except SystemExit:
            interrupt.check()
            raise
