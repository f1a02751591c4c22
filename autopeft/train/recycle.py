"""Embedding recycling: the outputs of frozen layers, computed once and kept on disk.

Candidates that leave everything below layer k alone all start from the same states, in every epoch
and trial and process. They are computed once per split, kept in a folder of bounded size, and
replayed by `autopeft.backbone.replay`.

Paper: Saad-Falcon et al. (2023), Embedding Recycling for Language Models.

A file appears under its name when it is whole, so a crash, a full disk or a second writer never
leaves half of one; whatever its checksum does not confirm counts as missing. What cannot be kept
is not an error: training then runs the layers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from weakref import WeakValueDictionary

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from autopeft.backbone.replay import record
from autopeft.store.write import FREE_BYTES
from autopeft.train.batches import collate, evaluation_rows, inputs_of
from autopeft.train.frozen import FrozenStates, Layout, read, write
from autopeft.train.padding import Padding
from autopeft.train.shortage import is_out_of_memory

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

LIMIT_BYTES = 2_000_000_000

MAX_TOKENS = 2048
"""Padded tokens per batch whose states are computed at once."""

Compute = Callable[[np.ndarray], Tensor]
"""From row numbers (B,), their states (B, S, H), S being the longest row, padded on the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What states depend on.

    Args:
        backbone: `autopeft.backbone.share.checksum` of the frozen model that makes them.
        data: `digest` of the split.
        layers: how many layers they have passed.
        dtype: of the backbone.
        attention: its implementation.
        device: the type of the device.
    """

    backbone: str
    data: str
    layers: int
    dtype: str
    attention: str
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Hex digits that are the same for equal keys under the same versions of the libraries."""
        versions = (torch.__version__, transformers.__version__)
        values = json.dumps([dataclasses.asdict(self), *versions], sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:32]


def digest(encoded: Encoded) -> str:
    """Return a digest of the tokens of a split, in their order."""
    found = hashlib.sha256(encoded.lengths.tobytes())
    for rows in (encoded.input_ids, encoded.token_type_ids or ()):
        for row in rows:
            found.update(row.tobytes())
    return found.hexdigest()


def computing(
    model: nn.Module, layers: int, encoded: Encoded, *, padding: Padding, device: torch.device
) -> Compute:
    """Return what computes the states that leave the lowest layers, for `Recycled.states`.

    Args:
        model: in eval mode, on `device`; nothing trains below layer `layers`.
        layers: how many layers to run.
        encoded: the split.
        padding: makes rows equally long.
        device: where the model lives.
    """

    def compute(rows: np.ndarray) -> Tensor:
        batch = inputs_of(collate(encoded, rows, padding))
        inputs: Mapping[str, Tensor] = {name: value.to(device) for name, value in batch.items()}
        return record(model, layers, inputs)

    return compute


class Recycled:
    """A folder of states, shared by all processes that are given it.

    Args:
        folder: made when first needed; lost with no more harm than lost time.
        limit_bytes: of all files together. What was used longest ago goes first, but nothing that
            this process still holds.

    Attributes:
        refused: why the last call of `states` returned None, for people; ``""`` if it did not.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._held: WeakValueDictionary[str, FrozenStates] = WeakValueDictionary()
        self._checked: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self.refused = ""

    def has(self, key: Key) -> bool:
        """Return whether states are there already, if their file is whole."""
        return key.name in self._held or self._path(key.name).exists()

    def states(self, key: Key, lengths: np.ndarray, compute: Compute) -> FrozenStates | None:
        """Return the states of a split, from disk or computed now and kept.

        Args:
            key: what they depend on.
            lengths: (N,), tokens of each row.
            compute: asked for every row once if they are not there, in batches of similar length.

        Returns:
            None if they cannot be kept: they are larger than what is allowed, the folder cannot be
            written, or disk or memory ran out; see `refused`. Where something ran out on the way,
            this key is not tried again.
        """
        name, self.refused = key.name, ""
        found = self._held.get(name) or self._read(name)
        if found is None and name not in self._failed:
            try:
                found = self._write(name, lengths, compute)
            except _NoRoomError as error:
                self.refused = str(error)
            except OSError as error:
                self._failed[name] = f"cannot write {self._folder}: {error.strerror or error}"
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._failed[name] = "memory ran out while computing them"
        if found is None:
            self.refused = self.refused or self._failed.get(name, "")
            return None
        self._held[name] = found
        with contextlib.suppress(OSError):
            os.utime(self._path(name))  # used now
        return found

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def _read(self, name: str) -> FrozenStates | None:
        """Return what a file holds, None if it is not there or not whole."""
        path = self._path(name)
        try:
            file = path.stat().st_ino
        except OSError:
            return None
        found = read(path, check=self._checked.get(name) != file)
        if found is not None:
            self._checked[name] = file
        return found

    def _write(self, name: str, lengths: np.ndarray, compute: Compute) -> FrozenStates:
        """Compute the states and keep them.

        Raises:
            _NoRoomError: they are too large.
            OSError: the disk refuses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        order = evaluation_rows(lengths, max_tokens=MAX_TOKENS)
        with self._new_file(name) as (file, partial):
            first = compute(order[0])
            layout = Layout(lengths=lengths, order=order, width=first.shape[-1], dtype=first.dtype)
            self._make_room(layout.size)
            write(file, layout, itertools.chain([first], map(compute, order[1:])))
            file.flush()
            self._checked[name] = partial.stat().st_ino
            # not synced: what a power cut spoils, the checksum tells
            partial.replace(self._path(name))
        found = self._read(name)
        if found is None:
            raise OSError("what was written cannot be read")
        return found

    @contextlib.contextmanager
    def _new_file(self, name: str) -> Iterator[tuple[BinaryIO, Path]]:
        """Open a file under a name of its own, locked for as long as its writer lives."""
        partial = self._folder / f"{name}.{uuid.uuid4().hex}.part"
        try:
            with partial.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield file, partial
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago until `size` bytes more are within the limit.

        Raises:
            _NoRoomError: they would not be even so, or the disk is nearly full.
        """
        for partial in self._folder.glob("*.part"):
            _remove_abandoned(partial)
        files = [(path, stat) for path in self._folder.iterdir() if (stat := _stat(path))]
        kept = sum(stat.st_size for _, stat in files)
        free = shutil.disk_usage(self._folder).free - FREE_BYTES
        old = sorted(
            (
                (path, stat)
                for path, stat in files
                if path.suffix == ".safetensors" and path.stem not in self._held
            ),
            key=lambda entry: entry[1].st_mtime_ns,
        )
        missing = max(kept + size - self._limit, size - free)
        if missing > sum(stat.st_size for _, stat in old):
            raise _NoRoomError(
                f"{size / 1e6:.0f} MB more would go beyond "
                + ("the disk" if size > free else f"the limit of {self._limit / 1e6:.0f} MB")
            )
        for path, stat in old:
            if missing <= 0:
                break
            path.unlink(missing_ok=True)
            missing -= stat.st_size


class _NoRoomError(Exception):
    """States are larger than what is allowed."""


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # another process was faster
        return None


def _remove_abandoned(partial: Path) -> None:
    """Remove what a writer left that is no more: the kernel released its lock."""
    with contextlib.suppress(OSError), partial.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink(missing_ok=True)
