"""The run folder: created once, resumed by the same command, refused to any other.

    run/
      manifest.json   identity (what must be equal to resume) and details (versions, hardware)
      study.db        trials, curves, costs, causes
      lock            who is at work in it
      facts.json      data, backbone, machine and command, for the page
      best/  front/<rank>/  leaderboard.csv  predictions.parquet  report.html  events.log

Nothing in it is an absolute path, so it can be moved and copied.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autopeft.errors import RunFolderError
from autopeft.store.lock import FolderLock
from autopeft.store.trials import TrialStore
from autopeft.store.write import disk_errors, leftover, make_folder, read_json, write_json

SCHEMA_VERSION = 1
_STUDY = "autopeft"
_STARTING_TRIES = 20


class RunFolder:
    """One run's folder, open for its supervisor or, with `read`, for anyone to look at.

    Args:
        path: the folder.
        manifest: the content of ``manifest.json``.
        lock: held while the run may be written; None for readers.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], lock: FolderLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        identity: Mapping[str, Any],
        details: Mapping[str, Any] | None = None,
        fork: bool = False,
    ) -> RunFolder:
        """Create the folder, or resume the same run in it.

        Args:
            path: where the run lives.
            identity: plain values that make it this run: resolved configuration, digests of data
                and model, fingerprint of the space, seed.
            details: plain values worth keeping that may change: versions, hardware.
            fork: if the folder holds another run, use the first sibling ``path-2``, ``path-3`` …
                that is new or holds this one.

        Raises:
            RunFolderError: the folder holds another run (the differences are shown), is in use, or
                cannot be written.
        """
        manifest = _plain(
            {"schema": SCHEMA_VERSION, "identity": identity, "details": details or {}}
        )
        folder = Path(path).expanduser()
        lock = None
        while lock is None:
            differences = _differences(folder, manifest)
            if differences and fork:
                folder, differences = _sibling(folder, manifest), []
            if differences:
                raise RunFolderError(
                    f"{folder} holds another run:\n"
                    + "\n".join(f"  - {line}" for line in differences)
                    + "\nChoose another folder with --output, or begin a new one beside it with "
                    "--fork"
                )
            make_folder(folder)
            lock = _lock(folder, manifest, fork)
        if (folder / "manifest.json").exists():
            return cls(folder, read_json(folder / "manifest.json"), lock)
        write_json(folder / "manifest.json", manifest)
        return cls(folder, manifest, lock)

    @classmethod
    def read(cls, path: str | Path) -> RunFolder:
        """Open a run to look at it; no lock, nothing is written.

        Raises:
            RunFolderError: the folder holds no run.
        """
        folder = Path(path).expanduser()
        if not (folder / "manifest.json").is_file():
            raise RunFolderError(f"{folder} holds no run: it has no manifest.json")
        return cls(folder, read_json(folder / "manifest.json"), None)

    def trials(self, *, higher_is_better: bool) -> TrialStore:
        """Return the trials of this run, its study created if need be.

        Raises:
            RunFolderError: ``study.db`` cannot be opened, or there is none to read.
        """
        file = self.path / "study.db"
        if self._lock is not None and not file.is_file():
            _make_study(file, higher_is_better)
        if not file.is_file():
            raise RunFolderError(f"{self.path} holds no trials yet")
        with _storage(file) as (optuna, storage):
            return TrialStore(optuna.load_study(study_name=_STUDY, storage=storage))

    def write_json(self, name: str, values: Any) -> None:
        """Write a JSON file of the folder atomically."""
        write_json(self.path / name, values)

    def read_json(self, name: str) -> Any:
        """Return the values of a JSON file of the folder, None if there is none."""
        file = self.path / name
        return read_json(file) if file.exists() else None

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Give the folder back to others."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _make_study(file: Path, higher_is_better: bool) -> None:
    """Create an empty study beside `file`, then move it there: nobody ever reads half of one."""
    part = file.with_name(f".{file.name}.part")
    directions = ["maximize" if higher_is_better else "minimize", "minimize"]
    with disk_errors(file):
        part.unlink(missing_ok=True)
        with _storage(part) as (optuna, storage):
            optuna.create_study(study_name=_STUDY, storage=storage, directions=directions)
        part.replace(file)


@contextmanager
def _storage(file: Path) -> Iterator[tuple[Any, Any]]:
    """Open SQLite for one writer, without heartbeat (see `TrialStore.recover`), beside optuna."""
    import optuna
    from sqlalchemy.pool import NullPool

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pool = logging.getLogger(f"{NullPool.__module__}.{NullPool.__name__}")
    pool.addFilter(_kept_by_the_pool)
    engine = {
        "creator": lambda: sqlite3.connect(file, timeout=60.0),  # a URL cannot carry every name
        "poolclass": NullPool,
    }
    try:
        yield optuna, optuna.storages.RDBStorage("sqlite://", engine_kwargs=engine)
    except Exception as error:  # SQLAlchemy, alembic and optuna each raise their own
        raise RunFolderError(
            f"cannot open {file}: {str(error).splitlines()[0]}; "
            "if it is damaged, move it away or choose another folder with --output"
        ) from error


def _kept_by_the_pool(record: logging.LogRecord) -> bool:
    """Return False for what SQLAlchemy logs, with a trace, and then raises: an interrupt."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or isinstance(error, Exception)


def _lock(folder: Path, manifest: Mapping[str, Any], fork: bool) -> FolderLock | None:
    """Take the lock of a folder that held no other run; None if one has begun there since.

    Who has just taken the lock writes the manifest a moment later.

    Raises:
        RunFolderError: the same run is under way there, or any without `fork`.
    """
    try:
        lock = FolderLock(folder)
    except RunFolderError:
        tries = _STARTING_TRIES if fork else 0
        while tries and not (folder / "manifest.json").is_file():
            time.sleep(0.05)
            tries -= 1
        if not tries or not _differences(folder, manifest):
            raise
        return None
    if _differences(folder, manifest):
        lock.release()
        return None
    return lock


def _differences(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return how the run in `folder` differs from the one asked for, nothing if it is new."""
    file = folder / "manifest.json"
    if not file.exists():
        there = folder.iterdir() if folder.is_dir() else ()
        others = [p.name for p in there if p.name != "lock" and not leftover(p)]
        return [f"files that are no run: {', '.join(sorted(others)[:5])}"] if others else []
    held = read_json(file)
    old, new = (
        _flat({k: held.get(k) for k in ("schema", "identity")}),
        _flat({k: manifest[k] for k in ("schema", "identity")}),
    )
    return [
        f"{key.removeprefix('identity.')}: {_said(old, key)} there, {_said(new, key)} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _sibling(folder: Path, manifest: Mapping[str, Any]) -> Path:
    number = 2
    while _differences(folder.with_name(f"{folder.name}-{number}"), manifest):
        number += 1
    return folder.with_name(f"{folder.name}-{number}")


def _said(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not set"


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _plain(values: Any) -> Any:
    """Return what JSON makes of `values`, so that a manifest equals itself once read back."""
    return json.loads(json.dumps(values, ensure_ascii=False, default=str))
