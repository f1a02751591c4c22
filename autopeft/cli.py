"""The command line: each command is config → api → print.

Heavy imports sit inside the commands, so that ``autopeft --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from autopeft.bench.commands import bench, leaderboard
from autopeft.config import SearchConfig
from autopeft.errors import AutoPeftError, ConfigError
from autopeft.report.console import check_format, exit_codes, terminal, write

if TYPE_CHECKING:
    from autopeft.report.screen import Screen

app = typer.Typer(
    name="autopeft",
    help="AutoML for parameter-efficient fine-tuning: "
    "the most accuracy for the fewest trained parameters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

sources = typer.Typer(
    help="Train and list source prompts, which the method attempt mixes.", no_args_is_help=True
)
app.add_typer(sources, name="sources")

Format = Annotated[str, typer.Option("--format", help="table, json or csv.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SourcesOption = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="Folder of all source prompts.")
]
DATA_SETTINGS = (
    *("model", "task", "text", "text_pair", "label", "metric"),
    *("seed", "max_length", "debug"),
)
"""What a training on a data set needs to be told, of all settings of a search."""


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
        hint = "" if debug else "; --debug shows where"
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


def _with_settings(
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


@app.command()
@_with_settings
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
        _screen(config, form) as screen,
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

    with _screen(config, form) as screen:
        settings, rows = dry_run(data, config, screen)
    if form == "table":
        for name, value in settings.items():
            typer.echo(f"{name:<12} {table.cell(value)}")
    table.show(rows, form, terminal())


@app.command()
@functools.partial(_with_settings, only=DATA_SETTINGS)
def gates(
    data: Annotated[str, typer.Argument(help="As of search.", metavar="DATA")],
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 3,
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="What is gated: serial, serial_attention, parallel, prefix, lora, ia3. "
            "Default: serial,prefix,lora.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also draw them, in FILE.svg.")
    ] = None,
    form: Format = "table",
    **settings: object,
) -> None:
    """Train one gated mixture briefly: which part counts in which layer."""
    from autopeft.api.gates import gates as train
    from autopeft.config import name_list
    from autopeft.report import gates as report
    from autopeft.report import table

    check_format(form)
    if output is not None and output.suffix != ".svg":
        raise ConfigError(f"--output {output}; the picture is an SVG: name it FILE.svg")
    config = SearchConfig.build(**settings)
    names = None if parts is None else name_list(parts)
    with exit_codes(), _screen(config, form) as screen:
        found = train(data, epochs=epochs, parts=names, screen=screen, **settings)
    console = terminal()
    if form == "table":
        table.show(report.grid(found.gates), form, console)
        for line in report.conclusion(
            metric=found.metric,
            score=found.score,
            trainable_params=found.trainable_params,
            hardened=found.hardened,
            hardened_params=found.hardened_params,
        ):
            typer.echo(line)
    else:
        table.show(report.rows(found.gates), form, console)
    if output is not None:
        write(output, report.svg(found.gates, title=f"Gates after {epochs} epochs on {data}"))


app.command()(leaderboard)
app.command()(bench)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Default: report.html in the run folder; here, for several runs."
        ),
    ] = None,
) -> None:
    """Write the page of a run again, or of several runs side by side."""
    from autopeft.api.page import PAGE, write_page

    file = output or (runs[0] if len(runs) == 1 else Path()) / PAGE
    typer.echo(f"wrote {write_page(runs, file)}")


@app.command()
def predict(
    run: RunArgument,
    data: Annotated[str, typer.Argument(help="A file with the column the model was tuned on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV file; default: the screen.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the backbone is now, if it moved.")
    ] = None,
    form: Format = "csv",
) -> None:
    """Predict with the model of a run."""
    from autopeft.api.reading import read_predictions
    from autopeft.report import table

    check_format(form)
    rows = read_predictions(run, data, model=model)
    if output is None:
        table.show(rows, form, terminal())
        return
    write(output, table.as_csv(rows))
    typer.echo(f"{len(rows):,} predictions in {output}")


@app.command()
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "model.onnx"
    ),
    model: Annotated[
        str | None, typer.Option("--model", help="Where the backbone is now, if it moved.")
    ] = None,
) -> None:
    """Write the merged model of a run as ONNX, and check that it gives the same outputs."""
    from autopeft.api.onnx import export_onnx

    difference = export_onnx(run, output, model=model)
    typer.echo(f"wrote {output}; its outputs differ by at most {difference:.1g}")


@app.command()
def push(
    run: RunArgument,
    repo: Annotated[str, typer.Argument(help="Name on the hub, such as me/reviews.")],
    base_model: Annotated[
        str | None,
        typer.Option("--base-model", help="What the backbone is called there, if it was a folder."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it.")] = False,
) -> None:
    """Put the model of a run on the hub, for its owner alone unless told otherwise."""
    from autopeft.api.push import push as upload

    typer.echo(f"pushed to {upload(run, repo, base_model=base_model, private=not public)}")


@app.command()
def methods(form: Format = "table") -> None:
    """List the methods; those of peft's own tuners come last, with knobs as peft names them."""
    from autopeft.methods import METHODS
    from autopeft.report import table

    check_format(form)
    own = sorted(METHODS, key=lambda info: (info.family, info.name))
    further = METHODS.further()
    rows = [
        {
            "name": info.name,
            "family": "peft" if info.name in further else info.family,
            "description": info.description,
            "learning_rate": info.learning_rate.median,
            "knobs": [] if info.name in further else list(info.knobs),  # peft's: would load it
            "sites": list(info.sites),
            "mergeable": info.mergeable,
            "paper": info.paper,
        }
        for info in (*own, *map(METHODS.get, further))
    ]
    shown = ("name", "family", "description", "learning_rate", "knobs")
    table.show(rows, form, terminal(), columns=shown)


@app.command()
def tasks(form: Format = "table") -> None:
    """List the tasks and their metrics."""
    from autopeft.report import table
    from autopeft.tasks import TASKS

    check_format(form)
    rows = [
        {"name": info.name, "description": info.description, "metrics": list(info.metrics)}
        for info in TASKS
    ]
    table.show(rows, form, terminal())


@app.command()
def spaces(form: Format = "table") -> None:
    """List the shipped search spaces."""
    from autopeft.report import table
    from autopeft.search.load import load_space
    from autopeft.search.spaces import shipped_spaces

    check_format(form)
    found = {name: load_space(path) for name, path in shipped_spaces().items()}
    rows = [
        {
            "name": name,
            "description": space.description,
            "methods": list(space.methods),
            "file": space.source,
        }
        for name, space in found.items()
    ]
    table.show(rows, form, terminal(), columns=("name", "description", "methods"))


@app.command()
def schema() -> None:
    """Print the JSON schema of search space files."""
    import json

    from autopeft.search.schema import schema as build

    typer.echo(json.dumps(build(), indent=2))


@sources.command("add")
@functools.partial(_with_settings, only=DATA_SETTINGS)
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
    with _screen(config, "table") as screen:
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


@sources.command("list")
def list_sources(folder: SourcesOption = Path("sources"), form: Format = "table") -> None:
    """List the source prompts."""
    from autopeft.api.sources import list_sources as find
    from autopeft.report import table

    check_format(form)
    shown = ("name", "model", "data", "task", "metric", "score", "tokens", "file")
    rows = [dataclasses.asdict(record) for record in find(folder)]
    table.show(rows, form, terminal(), columns=shown)


@app.command()
def doctor(form: Format = "table") -> None:
    """Show versions, device, precision and packages, and what is amiss."""
    from autopeft.api.doctor import examine
    from autopeft.report import table

    check_format(form)
    table.show(examine(), form, terminal())


@contextlib.contextmanager
def _screen(config: SearchConfig, form: str) -> Iterator[Screen]:
    """Yield a live display on a terminal, plain lines elsewhere; beside data, on stderr."""
    from rich.console import Console

    from autopeft.report.screen import LiveScreen, PlainScreen

    console = Console(stderr=form != "table")
    if console.is_terminal:
        with LiveScreen(console, config.time_limit) as screen:
            yield screen
    else:
        yield PlainScreen(console.file)


if __name__ == "__main__":
    main()
