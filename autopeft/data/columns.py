"""What a column holds, told from a sample of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

Kind = Literal["text", "category", "number", "integer", "other"]

SAMPLE_ROWS = 2_000
_BATCH_ROWS = 10_000
_CATEGORY_WORDS = 5.0
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """What a column holds.

    Args:
        name: the column's name.
        kind: ``text``; ``category`` (few short values, or declared as classes); ``number`` (with
            fractions); ``integer`` (whole numbers, also when stored as floats); ``other``.
        rows: rows of the data set.
        missing: rows without a value, blank texts and NaN included, counted over all rows.
        distinct: different values among at most `SAMPLE_ROWS` sampled rows.
        sampled: values that were looked at, missing ones left out.
        mean_words: average number of words of a value, 0 for what is not text.
        examples: a few values as text, shortened.
        given: the role that the user gave it: ``text``, ``text_pair`` or ``label``; None if none.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int
    sampled: int
    mean_words: float
    examples: tuple[str, ...]
    given: str | None = None


def profile(dataset: Dataset, *, seed: int = 0) -> tuple[ColumnProfile, ...]:
    """Describe every column of a data set.

    >>> from datasets import Dataset
    >>> profile(Dataset.from_dict({"stars": [1, 5, None]}))[0].kind
    'integer'
    """
    rng = np.random.default_rng(seed)
    size = len(dataset)
    chosen = np.sort(rng.choice(size, min(size, SAMPLE_ROWS), replace=False))
    sample = dataset.with_format("arrow")[chosen]
    missing = _missing(dataset)
    return tuple(
        _profile(name, dataset, plain_cells(sample.column(name)), missing[name])
        for name in dataset.column_names
    )


def plain_cells(column: pa.ChunkedArray) -> list[Any]:
    """Return the cells of a column as plain Python values; decimals are floats."""
    import pyarrow as pa

    decimal = pa.types.is_decimal(column.type)
    cells: list[Any] = (column.cast(pa.float64()) if decimal else column).to_pylist()
    return cells


def _profile(name: str, dataset: Dataset, values: Sequence[Any], missing: int) -> ColumnProfile:
    present = [value for value in values if not _is_missing(value)]
    texts = [str(value) for value in present]
    distinct = len(set(texts))
    strings = bool(present) and isinstance(present[0], str)
    words = sum(len(text.split()) for text in texts) / len(texts) if strings else 0.0
    return ColumnProfile(
        name=name,
        kind=_kind(dataset.features[name], present, distinct, words),
        rows=len(dataset),
        missing=missing,
        distinct=distinct,
        sampled=len(present),
        mean_words=words,
        examples=tuple(text[:60] for text in dict.fromkeys(texts[:20]))[:_EXAMPLES],
    )


def _kind(feature: Any, present: Sequence[Any], distinct: int, words: float) -> Kind:
    if type(feature).__name__ == "ClassLabel":
        return "category"
    if not present:
        return "other"
    first = present[0]
    if isinstance(first, bool):
        return "category"
    if isinstance(first, int):
        return "integer"
    if isinstance(first, float):
        return "integer" if all(value.is_integer() for value in present) else "number"
    if isinstance(first, str):
        longest = 3 * _CATEGORY_WORDS if distinct * 20 <= len(present) else _CATEGORY_WORDS
        return "category" if distinct * 2 <= len(present) and words <= longest else "text"
    return "other"


def _is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: null, NaN or a blank text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value != value


def _missing(dataset: Dataset) -> dict[str, int]:
    """Count the missing cells of every column over all rows, in bounded memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = dict.fromkeys(dataset.column_names, 0)
    arrow = dataset.with_format("arrow")
    for start in range(0, len(dataset), _BATCH_ROWS):
        rows = arrow[start : start + _BATCH_ROWS]
        for name in counts:
            cells = rows.column(name)
            gone = pc.is_null(cells, nan_is_null=pa.types.is_floating(cells.type))
            if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
                gone = pc.or_kleene(gone, pc.equal(pc.utf8_trim_whitespace(cells), ""))
            counts[name] += pc.sum(gone).as_py() or 0
    return counts
