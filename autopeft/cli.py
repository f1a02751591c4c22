"""The command line: all commands, and how it ends.

Heavy imports sit inside the commands, so that ``autopeft --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from autopeft.commands import sources
from autopeft.commands.benchmarks import bench, leaderboard
from autopeft.commands.gates import gates
from autopeft.commands.lists import doctor, methods, schema, spaces, tasks
from autopeft.commands.runs import export, predict, push, report
from autopeft.commands.search import search
from autopeft.errors import AutoPeftError

app = typer.Typer(
    name="autopeft",
    help="AutoML for parameter-efficient fine-tuning: "
    "the most accuracy for the fewest trained parameters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (search, gates, leaderboard, bench, report, predict, export, push):
    app.command()(command)
for command in (methods, tasks, spaces, schema, doctor):
    app.command()(command)
app.add_typer(sources.app, name="sources")


def main() -> None:
    """Run the command line; every error of ours becomes one message and an exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    debug = "--debug" in sys.argv
    try:
        app()
    except AutoPeftError as error:
        if debug:
            traceback.print_exc()
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        raise SystemExit(getattr(error, "exit_code", 130)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        hint = "" if debug else "; autopeft --debug … shows where"
        _fail(f"unexpected {type(error).__name__}: {error}{hint}", 1)


def _fail(message: str, code: int) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(message, err=True)
    raise SystemExit(code)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose.")] = False,
) -> None:
    del debug  # `main` looks for it before anything can fail
    if version:
        from autopeft import __version__

        typer.echo(f"autopeft {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    main()
