"""What a suite left out and why: lines that are only ever added to, beside the cells."""

from __future__ import annotations

import json
from pathlib import Path

from autopeft.bench.lines import add_line, whole_lines
from autopeft.bench.suite import Block

FILE = "skipped.jsonl"


class Skips:
    """The reasons of one backbone; the last one of a row counts.

    Args:
        folder: of the backbone's cells.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._reasons: dict[tuple[str, int, str | None], str | None] = {}
        for text in whole_lines(self._file):
            line = json.loads(text)
            self._reasons[line["task"], line["examples"], line["row"]] = line["reason"]

    def note(self, block: Block, row: str | None, reason: str | None) -> None:
        """Keep why a row, or None for every row, was left out; None takes a reason back."""
        key = (block.task, block.examples, row)
        if self._reasons.get(key) == reason:
            return
        self._reasons[key] = reason
        line = {"task": block.task, "examples": block.examples, "row": row, "reason": reason}
        add_line(self._file, line)

    def of_row(self, block: Block, row: str) -> str | None:
        """Return why this very row was left out, if it was."""
        return self._reasons.get((block.task, block.examples, row))

    def reason(self, block: Block, row: str) -> str | None:
        """Return why a row, or its whole block, was left out, if it was."""
        return self.of_row(block, row) or self._reasons.get((block.task, block.examples, None))
