"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
