"""What is done with a run: ``report``, ``predict``, ``export``, ``push``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autopeft.commands.options import Format, RunArgument
from autopeft.report.console import check_format, terminal, write


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


def predict(
    run: RunArgument,
    data: Annotated[
        str,
        typer.Argument(
            help="A file, a folder or a hub name, with the columns of texts that the model was "
            "tuned on; of several splits the first is used.",
            metavar="DATA",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default: the screen.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the backbone is now, if it moved.")
    ] = None,
    form: Format = "csv",
) -> None:
    """Predict with the model of a run."""
    from autopeft.api.reading import read_predictions
    from autopeft.report import table

    check_format(form, table.FORMATS if output is None else table.FILE_FORMATS)
    rows = read_predictions(run, data, model=model)
    if output is None:
        table.show(rows, form, terminal())
        return
    write(output, table.as_text(rows, form))
    typer.echo(f"{len(rows):,} predictions in {output}")


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
