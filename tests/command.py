"""Run the command line as a user does: in a process of its own, or at once in this one."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autopeft import cli

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("autopeft")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def in_a_process(*arguments: str | Path, cwd: Path, seconds: float = 300) -> Done:
    """Run the installed command."""
    done = subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command line here, where imports are paid once only."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["autopeft", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


def rows_of(done: Done, form: str) -> list[dict[str, Any]]:
    """Return the rows of what was printed as json or csv."""
    assert done.code == 0, done.err
    if form == "json":
        rows: list[dict[str, Any]] = json.loads(done.out)
        return rows
    return list(csv.DictReader(io.StringIO(done.out)))
