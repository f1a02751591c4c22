"""``sources add`` and ``sources list``: prompts that the method attempt mixes."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Annotated

import typer

from autopeft.commands.options import DATA_SETTINGS, Format, screen_for, with_settings
from autopeft.config import SearchConfig
from autopeft.report.console import check_format, terminal

app = typer.Typer(
    help="Train and list source prompts, which the method attempt mixes.", no_args_is_help=True
)

SourcesOption = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="Folder of all source prompts.")
]


@app.command("add")
@functools.partial(with_settings, only=DATA_SETTINGS)
def add_source(
    name: Annotated[str, typer.Argument(help="What to call the prompt.")],
    data: Annotated[str, typer.Argument(help="As for a search.", metavar="DATA")],
    tokens: Annotated[int, typer.Option(help="Length; prompts to be mixed need one.")] = 20,
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 5,
    learning_rate: Annotated[
        float | None, typer.Option(help="Default: the median of the method's prior.")
    ] = None,
    folder: SourcesOption = Path("sources"),
    **settings: object,
) -> None:
    """Train a prompt on a data set and keep it for its model."""
    from autopeft.api.sources import add_source as add

    config = SearchConfig.build(**settings)
    with screen_for(config, "table") as screen:
        made = add(
            name,
            data,
            config,
            screen,
            folder=folder,
            tokens=tokens,
            epochs=epochs,
            learning_rate=learning_rate,
        )
    typer.echo(f"kept in {made.file}")


@app.command("list")
def list_sources(folder: SourcesOption = Path("sources"), form: Format = "table") -> None:
    """List the source prompts."""
    from autopeft.api.sources import list_sources as find
    from autopeft.report import table

    check_format(form)
    shown = ("name", "model", "data", "task", "metric", "score", "tokens", "file")
    rows = [dataclasses.asdict(record) for record in find(folder)]
    table.show(rows, form, terminal(), columns=shown)
