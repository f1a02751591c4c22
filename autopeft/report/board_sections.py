"""A board as sections: what holds over all tasks, then a table per task, then what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autopeft.report.board import Board, Group, Overall, Standing, TaskTable, note_of
from autopeft.report.interval import Interval
from autopeft.report.section import Section

TITLE = "Leaderboard"
NOTE = "Written by autopeft leaderboard from the recorded cells; do not edit."

OVERALL = {
    "rank": "mean rank",
    "name": "method",
    "front": "front",
    "normalised": "normalised score",
    "trainable_params": "trained",
    "train_seconds": "train s",
    "note": "note",
}
STANDING = {
    "rank": "rank",
    "name": "method",
    "front": "front",
    "score": "test",
    "seeds": "seeds",
    "trainable_params": "trained",
    "head_params": "head",
    "artifact_bytes": "stored bytes",
    "peak_memory_bytes": "memory bytes",
    "train_seconds": "train s",
    "latency_ms": "latency ms",
    "cpu_seconds": "core s",
    "learning_rate": "rate",
    "note": "note",
}
BRIEF = ("rank", "name", "front", "score", "seeds", "trainable_params", "train_seconds", "note")
READING = (
    "Scores are those of the test split; every choice was made on the selection split. ± is one "
    "standard deviation over seeds. A seed that failed counts as a model that learnt nothing; a "
    "row of which every seed failed has the last rank. Over all tasks, only rows with a result on "
    "each that counts are ranked, among themselves. Normalised scores have 0 for a model that "
    "learnt nothing and 1 for the best row of the task. On the front is what no row with as few "
    "trained parameters equals.",
    "Brackets, on a page lines, hold 95 % of 2,000 bootstrap resamples of tasks and seeds, in "
    "which a row can be above the best of the whole, that is above 1. Of two or three tasks and "
    "seeds they are too narrow: read them as a spread. The test rows themselves are not drawn "
    "again: the standard error of an accuracy of 0.9 on 200 rows is 0.02, on 2,000 rows 0.007.",
    "Prices on a task are medians over seeds. “Trained” are parameters without the head, “head” "
    "its own, “stored” bytes on disk, “memory” the peak above idle; “train s” are seconds of the "
    "one training with its evaluations, of a search those of all its trainings; “latency” is the "
    "time of one example in a batch of eight; “core s” are seconds of all processor cores, with "
    "saving and testing. Trainings that shared a pass have equal parts of its memory and time, so "
    "that these tell packs apart and not the methods in one. “Rate” is the learning rate that was "
    "chosen. Over all tasks, “trained” is the median and “train s” the sum.",
)


def sections(boards: Sequence[Board]) -> list[Section]:
    """Return the sections of boards: how to read them, then one board after the other."""
    found = [Section(title="How to read it", text=READING)]
    for board in boards:
        found += _board(board)
    return found


def _board(board: Board) -> Iterator[Section]:
    said = board.description
    about = [f"{said[:1].upper()}{said[1:]}."] if said else []
    yield Section(
        title=f"Suite {board.suite}",
        text=[*about, *board.terms, *board.circumstances],
        commands=[board.command],
    )
    for group in board.groups:
        yield from _group(group)


def _group(group: Group) -> Iterator[Section]:
    counting = [table.task for table in group.tasks if table.counts]
    done = f"{len(counting)} of {len(group.tasks)} tasks count"
    lacking = [
        f"Not ranked over all tasks, for want of a result on one that counts: "
        f"{', '.join(group.unranked)}."
    ]
    yield Section(
        title=f"{group.backbone}, {group.examples:,} examples, {group.epochs} epochs",
        level=3,
        text=[
            f"{done}{': ' + ', '.join(counting) if counting else ''}.",
            *(lacking if group.unranked else []),
            *group.verdict,
            *_holes(group),
        ],
        columns=OVERALL,
        rows=[_overall(row) for row in group.overall],
    )
    for table in group.tasks:
        if table.rows:
            yield _task(group, table)


def _holes(group: Group) -> Iterator[str]:
    """Yield a sentence per reason why nothing was trained on some tasks."""
    reasons: dict[str, list[str]] = {}
    for table in group.tasks:
        if not table.rows:
            reasons.setdefault(_missing(table, everything=True), []).append(table.task)
    for reason, tasks in reasons.items():
        yield f"{', '.join(tasks)}: {reason}"


def _missing(table: TaskTable, *, everything: bool = False) -> str:
    """Return which rows have no result, by reason; their names are left out where it is all."""
    reasons: dict[str, list[str]] = {}
    for row in table.standings:
        if row.state == "missing":
            reasons.setdefault(row.note, []).append(row.name)
    if everything and len(reasons) == 1:
        return f"{next(iter(reasons))}."
    return " ".join(
        f"No result of {', '.join(names)}: {reason}." for reason, names in reasons.items()
    )


def _overall(row: Overall) -> dict[str, object]:
    return {
        "rank": _within(row.rank, row.rank_interval, "{:.2f} [{:.1f}, {:.1f}]"),
        "name": row.name,
        "front": "yes" if row.front else "",
        "normalised": _within(row.normalised, row.normalised_interval, "{:.3f} [{:.2f}, {:.2f}]"),
        "trainable_params": None if row.trainable_params is None else int(row.trainable_params),
        "train_seconds": None if row.train_seconds is None else round(row.train_seconds),
        "note": note_of(row),
    }


def _within(value: float, interval: tuple[float, float], form: str) -> Interval:
    low, high = interval
    return Interval(low=low, value=value, high=high, text=form.format(value, low, high))


def _task(group: Group, table: TaskTable) -> Section:
    split = {"train": "to train on", "selection": "to select by", "test": "to test on"}
    sizes = ", ".join(f"{count:,} rows {split[name]}" for name, count in table.rows.items())
    learnt = f"{table.metric}, of a model that learnt nothing {table.untrained:.4f}"
    rows = [_standing(row) for row in table.standings if row.state != "missing"]
    missing = _missing(table)
    return Section(
        title=f"{table.task} ({group.backbone}, {group.examples:,} examples)",
        level=4,
        text=[
            *([missing] if missing else []),
            f"Score: {learnt}. {sizes}. To train a cell once more:",
        ],
        columns=STANDING,
        brief=BRIEF,
        rows=rows,
        commands=_command(table.standings),
    )


def _command(standings: Sequence[Standing]) -> list[str]:
    """Return what trains any cell of a task once more."""
    if not standings:
        return []
    first = standings[0]
    return [first.command.replace(f"--methods {first.name} ", "--methods METHOD ")]


def _standing(row: Standing) -> dict[str, object]:
    latency = row.costs.get("latency_seconds")
    seconds, core = row.costs.get("train_seconds"), row.costs.get("cpu_seconds")
    return {
        "rank": None if row.rank is None else f"{row.rank:g}",
        "name": row.name,
        "front": "yes" if row.front else "",
        "score": _score(row),
        "seeds": len(row.scores),
        "trainable_params": row.costs.get("trainable_params"),
        "head_params": row.costs.get("head_params"),
        "artifact_bytes": row.costs.get("artifact_bytes"),
        "peak_memory_bytes": row.costs.get("peak_memory_bytes"),
        "train_seconds": None if seconds is None else f"{seconds:.1f}",
        "latency_ms": None if latency is None else f"{1000 * latency:.2f}",
        "cpu_seconds": None if core is None else f"{core:.1f}",
        "learning_rate": None if row.learning_rate is None else f"{row.learning_rate:g}",
        "note": row.note,
    }


def _score(row: Standing) -> str | None:
    if row.mean is None:
        return None
    return f"{row.mean:.4f}" + ("" if row.spread is None else f" ± {row.spread:.4f}")
