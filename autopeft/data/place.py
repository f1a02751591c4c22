"""Files, folders and hub names as splits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.data import cache
from autopeft.data.delimited import read_delimited
from autopeft.data.encoding import is_gz, without_gz
from autopeft.data.json_rows import read_json
from autopeft.data.memory import from_dataset_dict
from autopeft.data.source import ALIASES
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

TEXT_FORMATS = ("csv", "tsv", "json", "jsonl", "ndjson")
FORMATS = (*TEXT_FORMATS, "parquet", "arrow")


def format_of(path: Path) -> str | None:
    """Return the format that a file's name says, or None.

    >>> format_of(Path("train.jsonl.gz"))
    'jsonl'
    """
    suffix = without_gz(path).lower().rpartition(".")[2]
    allowed = TEXT_FORMATS if is_gz(path) else FORMATS
    return suffix if suffix in allowed else None


def stem_of(path: Path) -> str:
    """Return a file's name without its format."""
    return without_gz(path).rpartition(".")[0] or path.name


def read_file(path: Path, notes: list[str]) -> Dataset:
    """Read one file of any format.

    Raises:
        DataError: unknown format, or a file that is not what its name says.
    """
    form = format_of(path)
    if form is None:
        raise DataError(
            f"{path}: unknown format; allowed: {', '.join(FORMATS)}, and .gz of the text formats"
        )
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty; give it one row for each example")
    if form in ("csv", "tsv"):
        return read_delimited(path, notes)
    if form in ("json", "jsonl", "ndjson"):
        return read_json(path, notes)
    return _ours(lambda: _binary(path, form), f"{path}: not a readable {form} file")


def read_folder(folder: Path, notes: list[str]) -> dict[str, Dataset]:
    """Read a folder saved by ``save_to_disk``, or with one file (or its shards) for each split.

    Raises:
        DataError: no data files, none for training, or several candidates for a split.
    """
    import datasets

    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        saved = _ours(
            lambda: datasets.load_from_disk(str(folder)), f"{folder}: not a readable data set"
        )
        many = isinstance(saved, datasets.DatasetDict)
        return from_dataset_dict(saved, notes) if many else {"train": saved}
    files = sorted(path for path in folder.iterdir() if path.is_file() and format_of(path))
    if not files:
        raise DataError(f"{folder}: no data files; put train.csv (or .jsonl, .parquet …) there")
    if len(files) == 1:
        return {"train": read_file(files[0], notes)}
    found: dict[str, list[Path]] = {}
    for path in files:
        role = ALIASES.get(re.split(r"[-_.]", path.name.lower())[0])
        if role is None:
            notes.append(f"{path.name} was left out: its name says no split")
        else:
            found.setdefault(role, []).append(path)
    return {role: _one_split(role, paths, notes) for role, paths in found.items()}


def read_hub(name: str, notes: list[str]) -> dict[str, Dataset]:
    """Load ``name`` or ``name:configuration`` from the hub, or its cache when offline.

    Raises:
        DataError: it is not there, or cannot be reached.
    """
    import datasets
    import huggingface_hub.constants

    repo, _, config = name.partition(":")
    offline = offline_by()
    advice = (
        f"data {name!r}: no such file or folder, and not available from the hub"
        + (f" ({offline} is set)" if offline else "")
        + "; give a file, a folder, or a hub name such as 'owner/name' or 'name:configuration'"
    )
    if offline and not huggingface_hub.constants.HF_HUB_OFFLINE:
        raise DataError(advice)  # set after import: the library would use the network
    loaded = _ours(lambda: datasets.load_dataset(repo, config or None), advice)
    return from_dataset_dict(loaded, notes)


def offline_by() -> str | None:
    """Return the environment's variable that forbids the hub, read as huggingface_hub does."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if value := os.environ.get(name):
            return name if value.upper() in ("1", "ON", "YES", "TRUE") else None
    return None


def _one_split(role: str, paths: list[Path], notes: list[str]) -> Dataset:
    if len(paths) > 1 and not all(re.search(r"-\d+-of-\d+\.", path.name) for path in paths):
        names = ", ".join(path.name for path in paths)
        raise DataError(f"{paths[0].parent}: several files for {role} ({names}); keep one")
    parts = [read_file(path, notes) for path in paths]
    if len(parts) == 1:
        return parts[0]
    advice = f"{paths[0].parent}, {role}: the columns of its files do not go together"
    dataset: Dataset = _ours(lambda: _joined(parts), advice)
    return dataset


def _joined(parts: list[Dataset]) -> Dataset:
    """Return the rows of all; whole numbers here and fractions there are fractions."""
    import datasets

    whole, fraction = datasets.Value("int64"), datasets.Value("float64")
    fractions = {
        name for part in parts for name in part.features if part.features[name] == fraction
    }
    for place, part in enumerate(parts):
        for name in fractions:
            if part.features.get(name) == whole:
                parts[place] = part = part.cast_column(name, fraction)
    return datasets.concatenate_datasets(parts)


def _binary(path: Path, form: str) -> Dataset:
    import datasets

    return datasets.load_dataset(
        form, data_files=str(path), split="train", cache_dir=str(cache.folder())
    )


def _ours(read: Callable[[], Any], advice: str) -> Any:
    """Call `read` quietly, with whatever goes wrong inside the library as a `DataError`."""
    try:
        with cache.quiet():
            return read()
    except Exception as fault:
        cause = fault.__cause__ or fault
        reason = str(cause).strip().splitlines()
        raise DataError(f"{advice} ({reason[0] if reason else type(cause).__name__})") from fault
