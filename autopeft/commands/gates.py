"""``gates``: what a mixture's gates say."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from autopeft.commands.options import DATA_SETTINGS, Format, names_of, screen_for, with_settings
from autopeft.config import SearchConfig
from autopeft.errors import ConfigError
from autopeft.report.console import check_format, exit_codes, terminal, write


@functools.partial(with_settings, only=DATA_SETTINGS)
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
    harden: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also train what is left when gates are rounded to on or off, and deliver it "
            "in DIR.",
        ),
    ] = None,
    form: Format = "table",
    **settings: object,
) -> None:
    """Train one gated mixture briefly: which part counts in which layer."""
    from autopeft.api.gates import gates as train
    from autopeft.report import gates as report
    from autopeft.report import table

    check_format(form)
    if output is not None and output.suffix != ".svg":
        raise ConfigError(f"--output {output}; the picture is an SVG: name it FILE.svg")
    config = SearchConfig.build(**settings)
    names = names_of("--parts", parts)
    with exit_codes(), screen_for(config, form) as screen:
        found = train(data, epochs=epochs, parts=names, harden=harden, screen=screen, **settings)
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
        if found.delivered is not None:
            done = found.delivered
            scores = f"{done.score:.4f} on the selection rows, {done.test_score:.4f} on test"
            typer.echo(f"delivered in {done.folder}: {found.metric} {scores}")
    else:
        table.show(report.rows(found.gates), form, console)
    if output is not None:
        write(output, report.svg(found.gates, title=f"Gates after {epochs} epochs on {data}"))
