"""What leaves a frozen layer for every row of a split, in one memory-mapped file.

The file is in safetensors' format, written as a stream: ``states`` (T + 1, H) holds the tokens of
all rows, unpadded, in the backbone's dtype, and a state of zeros at the end that stands for
padding; ``starts`` and ``lengths`` (N,) say where in it a row is. Rows lie sorted by length, as
they were computed, so those of a batch are near each other.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_CHECK = "crc32"
_NAMES = ("starts", "lengths", "states")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class FrozenStates:
    """The states of N rows.

    Args:
        states: (T + 1, H), the last one zeros; T tokens in all.
        starts: (N,), the first token of each row.
        lengths: (N,), in tokens.
    """

    states: Tensor
    starts: np.ndarray
    lengths: np.ndarray

    def batch(self, rows: np.ndarray, length: int) -> Tensor:
        """Return the states (B, length, H) of rows, zeros where they are shorter, on the CPU.

        Raises:
            ValueError: a row is longer than `length`.
        """
        lengths = self.lengths[rows, None]
        if lengths.max(initial=0) > length:
            raise ValueError(f"a row of {lengths.max()} tokens does not fit in {length}")
        places = np.arange(length)
        padding = len(self.states) - 1
        tokens = np.where(places < lengths, self.starts[rows, None] + places, padding)
        found = self.states.index_select(0, torch.from_numpy(tokens.ravel()))
        return found.view(len(rows), length, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a file will hold, known before most of it is.

    Args:
        lengths: (N,), tokens of each row.
        order: the rows in the order in which they are computed, in batches.
        width: H.
        dtype: of the states.
    """

    lengths: np.ndarray
    order: Sequence[np.ndarray]
    width: int
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return 16 * len(self.lengths) + self._states_size

    @property
    def _states_size(self) -> int:
        return (int(self.lengths.sum()) + 1) * self.width * self.dtype.itemsize

    def starts(self) -> np.ndarray:
        """Return the first token (N,) of each row."""
        order = np.concatenate(self.order)
        starts = np.empty(len(self.lengths), np.int64)
        starts[order] = np.cumsum(self.lengths[order]) - self.lengths[order]
        return starts

    def header(self, checksum: int) -> bytes:
        """Return what comes before the tensors; as long for every checksum."""
        rows = len(self.lengths)
        ends = np.cumsum([0, 8 * rows, 8 * rows, self._states_size]).tolist()
        shapes = ([rows], [rows], [int(self.lengths.sum()) + 1, self.width])
        kinds = ("I64", "I64", _DTYPES[self.dtype])
        values: dict[str, Any] = {"__metadata__": {_CHECK: f"{checksum:08x}"}}
        for name, kind, shape, *offsets in zip(
            _NAMES, kinds, shapes, ends[:-1], ends[1:], strict=True
        ):
            values[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
        text = json.dumps(values).encode()
        text = text.ljust(-len(text) % 8 + len(text))
        return struct.pack("<Q", len(text)) + text


def write(file: BinaryIO, layout: Layout, computed: Iterable[Tensor]) -> None:
    """Write a file; until the end it has a checksum that no reader believes.

    Args:
        file: at its beginning.
        layout: of the file.
        computed: for each batch of ``layout.order``, the states (B, S, H) of its rows, padded on
            the right; on any device.

    Raises:
        OSError: the disk refuses.
    """
    lengths = layout.lengths.astype(np.int64)
    checksum = 0
    file.write(layout.header(~0 & 0xFFFFFFFF))
    for numbers in (layout.starts(), lengths):
        checksum = zlib.crc32(numbers.data, checksum)
        file.write(numbers.data)
    for rows, states in zip(layout.order, computed, strict=True):
        real = torch.arange(states.shape[1]) < torch.from_numpy(lengths[rows, None])
        piece = _raw(states.detach().cpu()[real].to(layout.dtype))
        checksum = zlib.crc32(piece, checksum)
        file.write(piece)
    zeros = bytes(layout.width * layout.dtype.itemsize)
    checksum = zlib.crc32(zeros, checksum)
    file.write(zeros)
    file.seek(0)
    file.write(layout.header(checksum))


def read(path: Path, *, check: bool = True) -> FrozenStates | None:
    """Map a file into memory; None if there is none that is whole.

    Args:
        path: of the file.
        check: whether to compare its checksum, which reads all of it.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            said = (file.metadata() or {}).get(_CHECK)
            found = {name: file.get_tensor(name) for name in _NAMES}
    except (OSError, SafetensorError):
        return None
    checksum = 0
    if check:
        for name in _NAMES:
            checksum = zlib.crc32(_raw(found[name]), checksum)
        if said != f"{checksum:08x}":
            return None
    return FrozenStates(
        states=found["states"], starts=found["starts"].numpy(), lengths=found["lengths"].numpy()
    )


def _raw(tensor: Tensor) -> memoryview:
    data: memoryview = tensor.contiguous().flatten().view(torch.uint8).numpy().data
    return data
