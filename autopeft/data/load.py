"""Anything a user may have, as a `Source`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.data import memory, place
from autopeft.data.source import Source, make_source
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


def load(data: Any, *, name: str | None = None, to_train: bool = True) -> Source:
    """Read a data set, whatever it is.

    Args:
        data: a file (csv, tsv, json, jsonl, parquet, arrow; ``.gz`` of the text formats), a folder
            with train/validation/test files or saved by ``save_to_disk``, a hub name
            (``owner/name`` or ``name:configuration``), a ``datasets.Dataset`` or ``DatasetDict``,
            a pandas frame, a mapping of splits to frames or data sets, a list of mappings, a
            mapping of columns, or a tuple ``(texts, labels)``.
        name: a short name for the run folder; by default from the file, folder or hub name.
        to_train: whether a train split is needed.

    Raises:
        DataError: it cannot be read; the message names file, row and column.
    """
    notes: list[str] = []
    if isinstance(data, (str, Path)):
        splits, found, origin = _from_place(data, notes)
    else:
        splits, found, origin = _from_memory(data, notes)
    return make_source(splits, name=name or found, origin=origin, notes=notes, to_train=to_train)


def _from_place(data: str | Path, notes: list[str]) -> tuple[dict[str, Dataset], str, str]:
    """Return splits, name and origin of a path or hub name; what exists is never looked up."""
    text = str(data)
    path = Path(text).expanduser()
    try:
        if path.is_file():
            return {"train": place.read_file(path, notes)}, place.stem_of(path), text
        if path.is_dir():
            return place.read_folder(path, notes), path.resolve().name, text
    except OSError as fault:
        raise DataError(f"{text}: cannot be read ({fault.strerror or fault})") from fault
    hub_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", text)
    if isinstance(data, Path) or not hub_name or place.format_of(path) or text.startswith("."):
        raise DataError(f"{text}: no such file or folder; check the path")
    return place.read_hub(text, notes), text, text


def _from_memory(data: Any, notes: list[str]) -> tuple[dict[str, Dataset], str, str]:
    """Return splits, name and origin of what is in memory."""
    if memory.is_frame(data):
        return {"train": memory.from_frame(data, notes)}, "frame", "the frame"
    if isinstance(data, tuple) and len(data) == 2:
        return {"train": memory.from_texts(*data, notes)}, "texts", "the lists"
    import datasets

    if isinstance(data, datasets.Dataset):
        return {"train": data}, "dataset", "the data set"
    if isinstance(data, datasets.DatasetDict):
        return memory.from_dataset_dict(data, notes), "dataset", "the data set"
    if isinstance(data, Mapping) and data and all(map(_is_table, data.values())):
        parts = {str(split): _from_memory(part, notes)[0] for split, part in data.items()}
        tables = {split: part["train"] for split, part in parts.items()}
        return memory.from_dataset_dict(tables, notes), "splits", "the mapping"
    if isinstance(data, Mapping):
        return {"train": memory.from_columns(data, "the mapping", notes)}, "columns", "the mapping"
    if isinstance(data, Sequence) and not isinstance(data, (bytes, bytearray)):
        return {"train": memory.from_rows(data, "the list", notes)}, "rows", "the list"
    raise DataError(
        f"data of type {type(data).__name__} cannot be read; give a path, a hub name, a Dataset, "
        "a pandas frame, a list of mappings, a mapping of columns or a tuple (texts, labels)"
    )


def _is_table(data: object) -> bool:
    """Whether `data` is a frame or a data set."""
    import datasets

    return memory.is_frame(data) or isinstance(data, datasets.Dataset)
