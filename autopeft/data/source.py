"""`Source`: a data set as it was read, with a name, an origin and a content hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopeft.data.columns import plain_cells
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "selection", "test")
"""Canonical split names, in order."""

ALIASES = {
    "train": "train",
    "training": "train",
    "selection": "selection",
    "validation": "selection",
    "valid": "selection",
    "val": "selection",
    "dev": "selection",
    "eval": "selection",
    "test": "test",
    "testing": "test",
}
"""What people call a split, by canonical name."""

_HASH_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set as it was read.

    Args:
        name: short and safe as part of a folder name.
        splits: by canonical name; ``train`` where it is there to train on, ``selection`` and
            ``test`` where given.
        origin: where it came from, for messages.
        digest: sixteen hex digits that depend on names, rows and columns only, not on the format.
        notes: decisions made while reading, one sentence each.
    """

    name: str
    splits: Mapping[str, Dataset]
    origin: str
    digest: str
    notes: tuple[str, ...] = ()


def make_source(
    splits: Mapping[str, Dataset],
    *,
    name: str,
    origin: str,
    notes: Sequence[str] = (),
    to_train: bool = True,
) -> Source:
    """Check the splits, order them and hash their content.

    Raises:
        DataError: there is no split, or none to train on, or a split has no rows.
    """
    needed = "train" if to_train else "test"
    if not splits or (to_train and needed not in splits):
        found = ", ".join(splits) or "nothing"
        raise DataError(f"{origin}: found {found}, but no {needed} split; name one {needed!r}")
    for split, dataset in splits.items():
        if not len(dataset) or not dataset.column_names:
            raise DataError(f"{origin}: the {split} split has no rows; give it some or remove it")
    ordered = {split: splits[split] for split in SPLITS if split in splits}
    return Source(
        name=safe_name(name),
        splits=ordered,
        origin=origin,
        digest=digest(ordered),
        notes=tuple(notes),
    )


def safe_name(text: str) -> str:
    """Return `text` as a short folder name: lower case, digits and hyphens.

    >>> safe_name("My Reviews (final)")
    'my-reviews-final'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "data"


def digest(splits: Mapping[str, Dataset]) -> str:
    """Return sixteen hex digits of the content, the same for every format that holds it."""
    hasher = hashlib.sha256()
    for split, dataset in splits.items():
        hasher.update(json.dumps([split, len(dataset), dataset.column_names]).encode())
        arrow = dataset.with_format("arrow")
        for start in range(0, len(dataset), _HASH_ROWS):
            rows = arrow[start : start + _HASH_ROWS]
            for name in dataset.column_names:
                values = plain_cells(rows.column(name))
                hasher.update(json.dumps(values, default=repr).encode())
    return hasher.hexdigest()[:16]
