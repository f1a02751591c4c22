"""What a run of a suite would do, told before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autopeft.backbone.load import outline, read_config
from autopeft.backbone.token import load_tokenizer
from autopeft.bench.command import command
from autopeft.bench.opened import opened
from autopeft.bench.rows import rows_of
from autopeft.bench.run import Running, waits_for
from autopeft.bench.suite import Block
from autopeft.bench.unfit import unfit
from autopeft.data.cache import quiet
from autopeft.errors import DataError, ModelError
from autopeft.tasks import TASKS
from autopeft.tasks.encode import encode


def preview(running: Running) -> Iterator[str]:
    """Yield a line per cell that is to be done, with the command that does it alone.

    What would be left out is a line too, with its reason.
    """
    for block in running.part.blocks():
        todo = running.todo(block)
        if not todo:
            yield f"{block}: all there"
            continue
        try:
            reasons = _reasons(running, block)
        except (DataError, ModelError) as error:
            yield f"{block}: left out: {running.places.private(str(error))}"
            continue
        for row in dict.fromkeys(row for row, _ in todo if row in reasons):
            yield f"{block}, {row}: left out: {reasons[row]}"
        for row, seed in todo:
            if row not in reasons:
                yield _cell(running, block, row, seed, reasons)


def _cell(running: Running, block: Block, row: str, seed: int, reasons: Mapping[str, str]) -> str:
    """Return the line of a cell; a search waits for what this run does not train."""
    part, places = running.part, running.places
    if row in (policy.name for policy in part.policies):
        cells = opened(part.suite, block, places)
        known = {*part.rows, *reasons}
        waiting = [name for name in running.waiting(block, cells, seed) if name not in known]
        if waiting:
            return f"{block}, {row}: left out: {waits_for(waiting)}"
    alone = command(part.suite, block, row, seed, places=places, again=running.again)
    return f"{block}, {row}, seed {seed}: {alone}"


def _reasons(running: Running, block: Block) -> Mapping[str, str]:
    """Return why rows cannot be trained on a block.

    Raises:
        DataError: there are no rows to train on.
        ModelError: there is no backbone.
    """
    suite, places = running.part.suite, running.places
    data = places.data_of(suite.tasks[block.task])
    model = places.model_of(suite.backbones[block.backbone])
    with quiet():
        rows = rows_of(suite, block, data)
        task = TASKS.get(rows.problem.task)
        options = task.model_options(rows.problem.labels)
        shape, _ = outline(model, auto_class=task.auto_class, model_options=options)
        tokenizer, _ = load_tokenizer(model, read_config(model, options))
        most = min(suite.max_length, shape.positions or suite.max_length)
        train = encode(rows.splits["train"], tokenizer, max_length=most)
    return unfit(suite.entries, shape, int(train.lengths.max()))
