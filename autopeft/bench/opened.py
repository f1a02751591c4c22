"""The cells of a block, if they are of what the suite asks for."""

from __future__ import annotations

from autopeft.bench.cells import Cells
from autopeft.bench.places import Places
from autopeft.bench.suite import Block, Suite
from autopeft.errors import UsageError


def opened(suite: Suite, block: Block, places: Places) -> Cells | None:
    """Return the cells of a block; None where nothing was trained.

    Raises:
        UsageError: they are of more rows or of other lengths than the suite's.
    """
    file = places.cells(block)
    if not file.is_file():
        return None
    cells = Cells(file)
    if not cells.about:
        return None
    wanted = {"train": block.examples, "selection": suite.selection, "test": suite.test}
    has = cells.about["rows"]
    wrong = [name for name, rows in wanted.items() if has[name] > rows]
    if cells.about["max_length"] != suite.max_length:
        wrong.append("max_length")
    if wrong:
        raise UsageError(
            f"{file} has results of another {', '.join(wrong)} than suite {suite.name} asks for; "
            "name another folder with --results"
        )
    return cells
