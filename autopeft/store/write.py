"""Write a file whole or not at all, and say what to do when the disk refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autopeft.errors import RunFolderError

FREE_BYTES = 32_000_000
"""With less free space no run begins: room for the study, the report and a few adapters."""


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says of the disk into a `RunFolderError`."""
    try:
        yield
    except OSError as error:
        said = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
        raise RunFolderError(
            f"cannot write {path}: {said}; "
            "free some space or choose another folder with --output. Earlier results are intact."
        ) from error


def write_json(path: Path, values: Any) -> None:
    """Write JSON as `write_text` does.

    Raises:
        RunFolderError: the disk is full or the folder cannot be written.
    """
    write_text(path, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically: a reader sees the old file or the new one, also after a power cut.

    Raises:
        RunFolderError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """Return the values of a JSON file.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise RunFolderError(
            f"{path} is damaged ({error}); choose another folder with --output, or --fork"
        ) from error


def make_folder(path: Path) -> None:
    """Create a folder and prove that files can be written in it, before anything is computed.

    Raises:
        RunFolderError: it cannot be created or written, or its disk is nearly full.
    """
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path).free
        probe = path / f".probe.{os.getpid()}"
        try:
            probe.write_bytes(bytes(4096))
        finally:
            probe.unlink(missing_ok=True)
    if free < FREE_BYTES:
        raise RunFolderError(
            f"the disk of {path} has {free / 1e6:.0f} MB left; a run needs "
            f"{FREE_BYTES / 1e6:.0f} MB: free some space or choose another folder with --output"
        )


def leftover(path: Path) -> bool:
    """Return whether a file is what a kill left of one that was being written here."""
    return path.name.startswith(".probe.") or (path.name[0] == "." and path.suffix == ".part")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
