"""Class labels: how likely a column holds them, their names and their numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from autopeft.data.columns import ColumnProfile
from autopeft.tasks.role import CLASS_NAMES, Choice, label_of, named_label

MAX_INTEGER_CLASSES = 20

NAN_NAMES = ("nan", "NaN")
"""What pandas writes for a missing label; never a class."""


def class_label(profiles: Sequence[ColumnProfile]) -> Choice | None:
    """Choose the column of classes: texts only by name, and whole numbers best if they are few."""
    kinds = ("category", "integer", "text") if named_label(profiles) else ("category",)
    choice = label_of(profiles, kinds) or label_of(profiles, ("integer",))
    if choice is None:
        return None
    column = next(column for column in profiles if column.name == choice.names[0])
    confidence = choice.confidence
    if column.kind == "integer":
        few = column.distinct <= MAX_INTEGER_CLASSES or column.name.lower() in CLASS_NAMES
        confidence *= 0.85 if few and repeats(column) else 0.3
    counted = f"{column.distinct} different values in {column.sampled} rows"
    return Choice(names=choice.names, confidence=confidence, reason=f"{choice.reason} ({counted})")


def repeats(column: ColumnProfile) -> bool:
    """Whether the values of a column come twice and more on average."""
    return 2 * column.distinct <= column.sampled


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
        number = float(name)
    except ValueError:
        number = math.nan
    if not math.isnan(number):  # nan has no place among numbers
        return (0, number, (), name)
    pieces = re.split(r"(\d{1,300})", name)
    return (
        1,
        0.0,
        tuple((p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces),
        name,
    )
