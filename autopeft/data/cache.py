"""The folder for Arrow files: temporary, removed at exit, never the user's own."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from autopeft.temporary import TemporaryFolder


@cache
def _temporary() -> TemporaryFolder:
    return TemporaryFolder("data")


def folder() -> Path:
    """Return this process's temporary folder."""
    return _temporary().path


def new_file() -> Path:
    """Return an unused file name in the folder."""
    return folder() / f"{uuid.uuid4().hex}.arrow"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and the log of `datasets` for a while; faults are ours to tell."""
    import datasets
    from datasets.utils import logging

    shown, level = not datasets.are_progress_bars_disabled(), logging.get_verbosity()
    datasets.disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            datasets.enable_progress_bars()
