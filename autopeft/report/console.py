"""What commands have in common on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.errors import ConfigError, RunFolderError, suggestion
from autopeft.report.table import FORMATS

if TYPE_CHECKING:
    from rich.console import Console


def terminal() -> Console:
    """Return a console on standard output."""
    from rich.console import Console

    return Console(soft_wrap=False)


def check_format(form: str, allowed: Sequence[str] = FORMATS) -> None:
    """Raise for a ``--format`` that there is not.

    Raises:
        ConfigError: names the nearest that there is.
    """
    if form not in allowed:
        raise ConfigError(f"--format {form!r}; {suggestion(form, allowed)}")


def write(file: Path, text: str) -> None:
    """Write a file that was asked for.

    Raises:
        RunFolderError: the disk refuses it.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror}") from error


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Let a signal's own exit code through: typer makes 130 of every `KeyboardInterrupt`."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise SystemExit(getattr(stop, "exit_code", 130)) from None
