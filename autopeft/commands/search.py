"""``search``: the whole of it, or a dry run."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from autopeft.commands.options import Format, screen_for, with_settings
from autopeft.config import SearchConfig
from autopeft.report.console import check_format, exit_codes, terminal


@with_settings
def search(
    data: Annotated[
        str,
        typer.Argument(
            help="A file, a folder, a hub name, or demo, demo:bbc, demo:imdb.", metavar="DATA"
        ),
    ],
    form: Format = "table",
    **settings: object,
) -> None:
    """Find and deliver the best model for a data set."""
    from autopeft.api.interrupt import Interrupted
    from autopeft.api.opened import Opened
    from autopeft.api.searching import Searching
    from autopeft.report import summary, table

    check_format(form)
    config = SearchConfig.build(**settings)
    if config.dry_run:
        _dry_run(data, config, form)
        return
    with (
        exit_codes(),
        screen_for(config, form) as screen,
        Opened(data, config, screen) as opened,
    ):
        try:
            result = Searching(opened).result()
        except Interrupted as stop:
            screen.say(summary.interrupted(str(stop), opened.rows(), str(opened.path)))
            raise
    console = terminal()
    if form == "table":
        summary.show(
            console,
            reason=result.choice.reason,
            metric=result.choice.metric,
            finalists=[dataclasses.asdict(row) for row in result.choice.finalists],
            untrained_test_score=result.choice.untrained_test_score,
            rows=result.leaderboard(),
            lost=opened.failures(),
            load_code=result.load_code(),
            folder=str(result.folder),
        )
    else:
        table.show(result.leaderboard(), form, console)


def _dry_run(data: str, config: SearchConfig, form: str) -> None:
    from autopeft.api.dry_run import dry_run
    from autopeft.report import table

    with exit_codes(), screen_for(config, form) as screen:
        settings, rows = dry_run(data, config, screen)
    if form == "table":
        for name, value in settings.items():
            typer.echo(f"{name:<12} {table.cell(value)}")
    table.show(rows, form, terminal())
