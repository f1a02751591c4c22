"""What a person sees while a search runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress, TaskID


class Screen(Protocol):
    """Where a run shows what it does."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a part of the run; `total` counts its trainings if that is known."""

    def training(
        self, number: int, label: str, share: float, note: str, seed: int | None = None
    ) -> None:
        """Show how far a training is; `seed` tells it from others of the same number."""

    def done(self, number: int, line: str, seed: int | None = None) -> None:
        """Show the outcome of a training."""


class SilentScreen:
    """Shows nothing."""

    def say(self, line: str) -> None: ...

    def phase(self, name: str, total: int | None = None) -> None: ...

    def training(
        self, number: int, label: str, share: float, note: str, seed: int | None = None
    ) -> None: ...

    def done(self, number: int, line: str, seed: int | None = None) -> None: ...


class PlainScreen(SilentScreen):
    """Prints one line per event, for logs and pipes."""

    def __init__(self, output: IO[str] | None = None) -> None:
        self._output = output
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        print(line, file=self._output or sys.stdout, flush=True)

    def phase(self, name: str, total: int | None = None) -> None:
        self.say(name if total is None else f"{name} ({total})")

    def done(self, number: int, line: str, seed: int | None = None) -> None:  # noqa: ARG002
        self.say(f"[{time.monotonic() - self._started:6.1f} s] {line}")


class LoggedScreen:
    """Passes everything on to another screen, and every line that stays to a log file.

    Args:
        screen: where to show it.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._waiting: list[str] = []
        self._file: IO[str] | None = None

    def open_log(self, file: Path) -> None:
        """Append to `file` from now on, what was said before included."""
        self._file = file.open("a", encoding="utf-8")
        for line in self._waiting:
            self._log(line)

    def close_log(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def say(self, line: str) -> None:
        self._log(line)
        self._screen.say(line)

    def phase(self, name: str, total: int | None = None) -> None:
        self._log(name)
        self._screen.phase(name, total)

    def training(
        self, number: int, label: str, share: float, note: str, seed: int | None = None
    ) -> None:
        self._screen.training(number, label, share, note, seed)

    def done(self, number: int, line: str, seed: int | None = None) -> None:
        self._log(line)
        self._screen.done(number, line, seed)

    def _log(self, line: str) -> None:
        if self._file is None:
            self._waiting.append(line)
            return
        with contextlib.suppress(OSError):  # of a full disk the study tells, which matters
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")
            self._file.flush()


class LiveScreen:
    """A live display: finished trainings scroll by, running ones show a bar."""

    def __init__(self, console: Console, limit_seconds: float | None) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console, self._limit = console, limit_seconds
        self._started = time.monotonic()
        self._progress: Progress = Progress(
            TextColumn("[dim]{task.fields[tag]:>4}[/]"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            TextColumn("[dim]{task.fields[note]}[/]"),
            TimeElapsedColumn(),
            console=console,
        )
        self._live: Live = Live(self._progress, console=console, refresh_per_second=5)
        self._bars: dict[tuple[int, int | None], TaskID] = {}
        self._whole = self._progress.add_task("starting", total=limit_seconds, tag="", note="")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.remove_task(self._whole)
        self._live.stop()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def phase(self, name: str, total: int | None = None) -> None:
        note = "" if total is None else f"{total} trainings"
        self._progress.update(self._whole, description=name, note=note)

    def training(
        self, number: int, label: str, share: float, note: str, seed: int | None = None
    ) -> None:
        key = (number, seed)
        if key not in self._bars:
            name = label if seed is None else f"{label}, seed {seed}"
            self._bars[key] = self._progress.add_task(name, total=1.0, tag=str(number), note=note)
        self._progress.update(self._bars[key], completed=share, note=note)
        if self._limit is not None:
            self._progress.update(self._whole, completed=time.monotonic() - self._started)

    def done(self, number: int, line: str, seed: int | None = None) -> None:
        bar = self._bars.pop((number, seed), None)
        if bar is not None:
            self._progress.remove_task(bar)
        self.say(line)
