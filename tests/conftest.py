"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Command, in_this_process
from tests.nursery import Nursery

# Threads that wait for each other make tiny models fifty times slower on busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from an architecture to the folder of its tiny random model."""
    from tests.tiny import tiny_model

    folders: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in folders:
            place = tmp_path_factory.mktemp(architecture)
            folders[architecture] = tiny_model(architecture, place)
        return folders[architecture]

    return folder


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Return where workers are forked instead of started."""
    made = Nursery({"HF_HUB_OFFLINE": "1"})
    yield made
    made.close()


@pytest.fixture
def forked_workers(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's searches have their workers forked."""
    nursery.fork_workers(monkeypatch)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command line in this process."""
    return in_this_process(monkeypatch, capsys)
