"""What there is: ``methods``, ``tasks``, ``spaces``, ``schema``, ``doctor``."""

from __future__ import annotations

import typer

from autopeft.commands.options import Format
from autopeft.report.console import check_format, terminal


def methods(form: Format = "table") -> None:
    """List the methods; those of peft's own tuners come last, their knobs are not listed."""
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


def schema() -> None:
    """Print the JSON schema of search space files."""
    import json

    from autopeft.search.schema import schema as build

    typer.echo(json.dumps(build(), indent=2))


def doctor(form: Format = "table") -> None:
    """Show versions, device, precision and packages, and what is amiss."""
    from autopeft.api.doctor import examine
    from autopeft.report import table

    check_format(form)
    table.show(examine(), form, terminal())
