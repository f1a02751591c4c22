"""Class labels: how likely a column holds them, their names and their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from autopeft.data.columns import ColumnProfile
from autopeft.tasks.role import Choice, label_of

MAX_INTEGER_CLASSES = 20
_LABEL_WORDS = 5.0

NAN_NAMES = ("nan", "NaN")
"""What pandas writes for a missing label; never a class."""


def class_label(profiles: Sequence[ColumnProfile]) -> Choice | None:
    """Choose the column of classes: categories, texts named like a label, or few integers."""
    choice = label_of(profiles, ("category", "integer", "text"))
    if choice is None:
        choice = label_of(profiles, ("category",)) or label_of(profiles, ("integer",))
    if choice is None:
        return None
    column = next(column for column in profiles if column.name == choice.names[0])
    counted = f"{column.distinct} different values in {column.sampled} rows"
    confidence = choice.confidence
    if column.kind == "text" and not column.given and not _is_short_label(column, confidence):
        return None
    if column.kind == "integer":
        few = column.distinct <= MAX_INTEGER_CLASSES and 2 * column.distinct <= column.sampled
        confidence *= 0.85 if few else 0.3
    return Choice(names=choice.names, confidence=confidence, reason=f"{choice.reason} ({counted})")


def _is_short_label(column: ColumnProfile, confidence: float) -> bool:
    """Whether texts that hardly repeat are still classes: by their column's name, and short."""
    return confidence >= 0.9 and column.mean_words <= _LABEL_WORDS


def class_name(value: Any) -> str:
    """Return the name of a class from a cell; whole floats read as integers.

    >>> class_name(2.0)
    '2'
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def class_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in natural order: numbers in texts count as numbers.

    >>> class_names(["10", "9", "b2", "b10", "9"])
    ('9', '10', 'b2', 'b10')
    """
    return tuple(sorted(set(names), key=_natural))


def _natural(name: str) -> tuple[Any, ...]:
    try:
        return (0, float(name), (), name)
    except ValueError:
        pieces = re.split(r"(\d{1,300})", name)
        return (
            1,
            0.0,
            tuple((p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces),
            name,
        )
