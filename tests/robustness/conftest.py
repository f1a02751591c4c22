"""What the searches of these tests share."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from autopeft.api import SearchResult, opened, search
from autopeft.report.screen import SilentScreen
from tests.nursery import Nursery
from tests.robustness.run import write_data, write_space

Settings = dict[str, Any]
TrainingProcess = Callable[..., AbstractContextManager[pytest.MonkeyPatch]]


class Heard(SilentScreen):
    """Keeps every line, and the number and seed of what is shown to train."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shown: list[tuple[int, int | None]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def training(
        self, number: int, label: str, share: float, note: str, seed: int | None = None
    ) -> None:
        del label, share, note
        self.shown.append((number, seed))

    def done(self, number: int, line: str, seed: int | None = None) -> None:
        self.lines.append(line)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclasses.dataclass
class Done:
    """A finished search and what can be asked of it."""

    settings: Settings
    result: SearchResult
    heard: Heard


@pytest.fixture(scope="session")
def training_process(nursery: Nursery) -> TrainingProcess:
    """Return a context in which searches train in `tests.robustness.worker`."""

    @contextmanager
    def patched(**environment: str) -> Iterator[pytest.MonkeyPatch]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opened, "WORK", "tests.robustness.worker:work")
            nursery.fork_workers(patch)
            for name, value in environment.items():
                patch.setenv(name, value)
            yield patch

    return patched


@pytest.fixture(autouse=True)
def in_training_process(training_process: TrainingProcess) -> Iterator[None]:
    """Let searches of every test train there."""
    with training_process():
        yield


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]
) -> Settings:
    """The settings that all searches have in common."""
    folder = tmp_path_factory.mktemp("inputs")
    return {
        "data": str(write_data(folder)),
        "model": str(tiny_folder("bert")),
        "space": str(write_space(folder)),
        "trials": 6,
        "workers": 1,
    }


@pytest.fixture
def settings(shared: Settings, tmp_path: Path) -> Settings:
    """Settings of a run in a folder of its own."""
    return {**shared, "output": str(tmp_path / "run")}


def run(settings: Settings, **changes: Any) -> tuple[SearchResult, Heard]:
    """Search in this process, training in another."""
    heard = Heard()
    return search(**{**settings, **changes}, screen=heard), heard


@pytest.fixture(scope="session")
def done(
    shared: Settings, tmp_path_factory: pytest.TempPathFactory, training_process: TrainingProcess
) -> Done:
    """A finished search; nobody may change it."""
    settings = {**shared, "output": str(tmp_path_factory.mktemp("done") / "run")}
    with training_process():
        result, heard = run(settings)
    return Done(settings, result, heard)


@pytest.fixture
def copied(done: Done, settings: Settings) -> Settings:
    """Settings of a finished search's own copy."""
    shutil.copytree(done.result.folder, settings["output"])
    return settings
