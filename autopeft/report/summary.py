"""The last lines on screen: what won and why, the front, what was lost, how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autopeft.report.table import Row, cell
from autopeft.report.table import show as show_table
from autopeft.report.wording import trainings

if TYPE_CHECKING:
    from rich.console import Console


def show(
    console: Console,
    *,
    reason: str,
    metric: str,
    finalists: Sequence[Mapping[str, Any]],
    untrained_test_score: float,
    rows: Sequence[Row],
    lost: Sequence[str],
    load_code: str,
    folder: str,
) -> None:
    """Print the summary of a finished run.

    Args:
        console: where to print.
        reason: the sentence why.
        metric: name of the metric that was chosen by.
        finalists: rows as `autopeft.api.result.FinalRow`, the best first.
        untrained_test_score: of the majority class or the mean.
        rows: the leaderboard.
        lost: a line per cause of failure.
        load_code: Python that loads the model.
        folder: of the run.
    """
    from rich.markup import escape

    say = _Speaker(console)
    say.title(f"Front: {metric} on the selection split against trained parameters")
    front = sorted((row for row in rows if row["front"]), key=_params)
    columns = ("name", "candidate", "mean", "seeds", "trainable_params")
    show_table(front, "table", console, columns=columns)
    say.title(f"Finalists ({metric}; Δ behind the best ± standard error; chance of best or tied)")
    show_table([_finalist(row) for row in finalists], "table", console)
    say.line(f"A model that learnt nothing scores {untrained_test_score:.4f} on the test split.")
    if lost:
        say.title("Lost")
        for line in lost:
            say.line(line)
    say.title("Choice")
    say.line(reason)
    say.title("Load it")
    console.print(load_code, markup=False, highlight=False, soft_wrap=True)
    say.title("Files")
    for name, what in (
        ("best", "the tuned model, with its card"),
        ("report.html", "all of it on one page, with pictures"),
        ("leaderboard.csv", "every trial"),
        ("predictions.parquet", "the test rows, predicted"),
        ("study.db", "the Optuna study"),
    ):
        place = escape(f"{folder}/{name}")
        console.print(f"{place}  [dim]{what}[/]", highlight=False, soft_wrap=True)


def interrupted(signal: str, rows: Sequence[Row], folder: str) -> str:
    """Return what to say when a run was stopped by a signal."""
    done = [row for row in rows if row["state"] == "complete"]
    best = (
        f"best so far: {done[0]['candidate']} with {cell(done[0]['score'])}"
        if done
        else "nothing finished yet"
    )
    return f"stopped by {signal}; {best}\nThe same command goes on from here: {folder}"


class _Speaker:
    """Prints titles and wrapped lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, text: str) -> None:
        self._console.print()
        self._console.print(text, style="bold", markup=False, highlight=False)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def _params(row: Row) -> int:
    return int(str(row["trainable_params"]))


def _finalist(row: Mapping[str, Any]) -> dict[str, object]:
    spread = "" if row["spread"] is None else f" ± {row['spread']:.4f}"
    return {
        "name": f"trial {row['number']}",
        "candidate": row["label"],
        "trained": row["trainable_params"],
        "seeds": trainings(row["seeds"], row["failures"]),
        "selection": f"{row['mean']:.4f}{spread}",
        "Δ": f"{row['behind']:.4f} ± {row['standard_error']:.4f}",
        "best or tied": "" if row["tied_share"] is None else f"{row['tied_share']:.0%}",
        "test": row["test_score"],
    }
