"""What commands have in common: arguments, an option per setting, the screen."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from autopeft.config import SearchConfig, name_list
from autopeft.errors import ConfigError

if TYPE_CHECKING:
    from autopeft.report.screen import Screen

Format = Annotated[str, typer.Option("--format", help="table, json or csv.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
DATA_SETTINGS = (
    *("model", "task", "text", "text_pair", "label", "metric"),
    *("seed", "max_length", "debug"),
)
"""What a training on a data set needs to be told, of all settings of a search."""


def with_settings(
    command: Callable[..., None], only: Collection[str] | None = None
) -> Callable[..., None]:
    """Give a command an option per field of `SearchConfig`, or only per those named."""
    hints = get_type_hints(command, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    for field in dataclasses.fields(SearchConfig):
        if only is not None and field.name not in only:
            continue
        flag = isinstance(field.default, bool)
        names = [f"--{field.name.replace('_', '-')}"]
        names += [field.metadata["short"]] if field.metadata["short"] else []
        option = typer.Option(
            *names, help=field.metadata["help"], metavar=field.metadata["metavar"]
        )
        hints[field.name] = Annotated[bool if flag else str | None, option]
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if flag else None,
                annotation=hints[field.name],
            )
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = hints
    return command


def names_of(option: str, text: str | None) -> tuple[str, ...] | None:
    """Return the names that an option lists with commas; None where it was not given.

    Raises:
        ConfigError: it lists none.
    """
    try:
        return None if text is None else name_list(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} {error}") from None


@contextlib.contextmanager
def screen_for(config: SearchConfig, form: str) -> Iterator[Screen]:
    """Yield a live display on a terminal, plain lines elsewhere; beside data, on stderr."""
    from rich.console import Console

    from autopeft.report.screen import LiveScreen, PlainScreen

    console = Console(stderr=form != "table")
    if console.is_terminal:
        with LiveScreen(console, config.time_limit) as screen:
            yield screen
    else:
        yield PlainScreen(console.file)
