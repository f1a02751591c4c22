"""What the searches of these tests share."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autopeft.api import SearchResult, search, searching
from autopeft.report.screen import SilentScreen
from tests.robustness.run import write_data, write_space

Settings = dict[str, Any]


class Heard(SilentScreen):
    """Keeps every line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def done(self, number: int, line: str) -> None:
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


@pytest.fixture(autouse=True)
def training_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches of this process train in `tests.robustness.worker`."""
    monkeypatch.setattr(searching, "WORK", "tests.robustness.worker:work")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


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
def done(shared: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A finished search; nobody may change it."""
    settings = {**shared, "output": str(tmp_path_factory.mktemp("done") / "run")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "WORK", "tests.robustness.worker:work")
        result, heard = run(settings)
    yield Done(settings, result, heard)


@pytest.fixture
def copied(done: Done, settings: Settings) -> Settings:
    """Settings of a finished search's own copy."""
    shutil.copytree(done.result.folder, settings["output"])
    return settings
