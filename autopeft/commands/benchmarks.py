"""``bench`` and ``leaderboard``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autopeft.bench import RESULTS
from autopeft.commands.options import names_of
from autopeft.errors import UnknownNameError, UsageError
from autopeft.report.console import check_format, exit_codes, terminal, write

if TYPE_CHECKING:
    from autopeft.bench.part import Part
    from autopeft.bench.suite import Suite
    from autopeft.report.section import Section

FORMATS = ("table", "csv", "json", "markdown", "html")

Results = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="Folder of the recorded cells.")
]
Backbones = Annotated[
    str | None, typer.Option("--backbones", metavar="A,B", help="Only these of the suite.")
]
Tasks = Annotated[
    str | None, typer.Option("--tasks", metavar="A,B", help="Only these of the suite.")
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", metavar="A,B", help="Only these methods, variants and policies."),
]
Examples = Annotated[
    str | None, typer.Option("--examples", metavar="N,M", help="Only these numbers of rows.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a leaderboard shows: rows for programs, sections for people."""

    rows: list[dict[str, object]]
    title: str
    sections: Sequence[Section]
    note: str


def bench(
    suite: Annotated[str, typer.Argument(help="A shipped suite or a YAML file.", metavar="SUITE")],
    data_root: Annotated[
        Path | None,
        typer.Option(
            "--data-root",
            metavar="DIR",
            envvar="AUTOPEFT_DATA",
            help="Has a file or a folder per data set.",
        ),
    ] = None,
    model_root: Annotated[
        Path | None,
        typer.Option(
            "--model-root", metavar="DIR", envvar="AUTOPEFT_MODELS", help="Has a folder per model."
        ),
    ] = None,
    results: Results = RESULTS,
    backbones: Backbones = None,
    tasks: Tasks = None,
    methods: Methods = None,
    examples: Examples = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="N,M", help="Only these of the suite.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Train also what has a result; the new one counts.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing, with the command for each.")
    ] = False,
) -> None:
    """Train and search every missing cell of a suite; `leaderboard SUITE` shows them."""
    from autopeft.bench.places import Places
    from autopeft.bench.preview import preview
    from autopeft.bench.run import Running
    from autopeft.bench.suite import load_suite

    part = _part(
        load_suite(suite),
        backbones=backbones,
        tasks=tasks,
        methods=methods,
        examples=examples,
        seeds=seeds,
    )
    running = Running(
        part=part,
        places=Places(results=results, data=data_root, models=model_root),
        say=_say,
        again=again,
    )
    if dry_run:
        for line in preview(running):
            _say(line)
        return
    with exit_codes():
        running.run()


def leaderboard(
    of: Annotated[
        list[str], typer.Argument(help="Run folders, or suites.", metavar="RUN|SUITE...")
    ],
    form: Annotated[
        str, typer.Option("--format", help="table, csv, json, markdown or html.")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a file instead of the screen.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Rank by this metric, where the task has it.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COLUMN", help="Sort by another column.")
    ] = None,
    descending: Annotated[
        bool, typer.Option("--descending", help="With --sort: the largest first.")
    ] = False,
    front: Annotated[
        bool, typer.Option("--front", help="Only what nothing smaller is as good as.")
    ] = False,
    results: Results = RESULTS,
    backbones: Backbones = None,
    tasks: Tasks = None,
    methods: Methods = None,
    examples: Examples = None,
) -> None:
    """Show the trials of runs, or the board of suites: scores, spread over seeds, six costs."""
    from autopeft.bench.suite import is_suite, shipped_suites
    from autopeft.report.section import print_sections

    check_format(form, FORMATS)
    for name in of:
        if not is_suite(name) and "/" not in name and not Path(name).exists():
            known = (*shipped_suites(), "RUN", "FILE.yaml")
            raise UnknownNameError("run folder or suite", name, known)
    if descending and sort is None:
        raise UsageError("--descending says how to sort: give --sort COLUMN too")
    order = {"front": front, "sort": sort, "descending": descending}
    parts = {"backbones": backbones, "tasks": tasks, "methods": methods, "examples": examples}
    kinds = {is_suite(name) and not Path(name).is_dir() for name in of}
    if len(kinds) > 1:
        raise UsageError("name either run folders or suites, not both")
    if kinds == {True}:
        shown = _of_suites(of, results, metric, parts, **order)
    else:
        _refuse({**parts, "results": None if results == RESULTS else str(results)})
        shown = _of_runs([Path(name) for name in of], metric, **order)
    if form == "table" and output is None:
        print_sections(shown.sections, terminal())
    elif output is None:
        sys.stdout.write(_shown(shown, form))
    else:
        write(output, _shown(shown, "markdown" if form == "table" else form))


def _refuse(given: dict[str, str | None]) -> None:
    """Raise for options that say nothing of a run."""
    named = [f"--{option}" for option, text in given.items() if text is not None]
    if named:
        raise UsageError(f"{', '.join(named)}: of suites alone; a run folder has its own trials")


def _of_suites(
    names: list[str],
    results: Path,
    metric: str | None,
    parts: dict[str, str | None],
    **order: Any,
) -> Shown:
    from autopeft.bench.board import read_board
    from autopeft.bench.places import Places
    from autopeft.bench.suite import load_suite
    from autopeft.report.board import arranged, rows_of
    from autopeft.report.board_sections import NOTE, TITLE, sections

    places = Places(results=results)
    boards = [
        arranged(read_board(_part(load_suite(name), **parts), places, metric=metric), **order)
        for name in names
    ]
    return Shown(rows=rows_of(boards), title=TITLE, sections=sections(boards), note=NOTE)


def _of_runs(runs: list[Path], metric: str | None, **order: Any) -> Shown:
    from autopeft.api.reading import read_leaderboards
    from autopeft.report.leaderboard import BRIEF, SHOWN, arranged, reading
    from autopeft.report.section import Section

    rows = arranged(read_leaderboards(runs, metric=metric), **order)
    columns, brief = (("name", "run", *of[1:]) if len(runs) > 1 else of for of in (SHOWN, BRIEF))
    section = Section(
        title=", ".join(run.resolve().name for run in runs),
        text=reading(rows),
        columns={key: key.replace("_", " ") for key in columns},
        brief=brief,
        rows=rows,
    )
    return Shown(rows=rows, title="Leaderboard", sections=[section], note="")


def _shown(shown: Shown, form: str) -> str:
    """Return what is written into a file, or on the screen where it is no table."""
    from autopeft.report import table
    from autopeft.report.section import markdown

    if form in ("json", "csv"):
        return table.as_text(shown.rows, form)
    if form == "markdown":
        return markdown(shown.title, shown.sections, note=shown.note)
    from autopeft.report.page.sheet import html

    return html(shown.title, shown.sections)


def _part(suite: Suite, *, methods: str | None, **names: str | None) -> Part:
    """Return the part of a suite that options name, each a list with commas or None."""
    from autopeft.bench.part import Part

    listed = {key: names_of(f"--{key}", text) for key, text in names.items()}
    return Part.of(suite, rows=names_of("--methods", methods), **listed)


def _say(line: str) -> None:
    typer.echo(line)
