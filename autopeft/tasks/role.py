"""Which columns look like a text, a pair of texts or a label: by name first, then by content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from autopeft.data.columns import ColumnProfile

LABEL_NAMES = (
    "label",
    "labels",
    "target",
    "class",
    "category",
    "gold_label",
    "gold",
    "sentiment",
    "intent",
    "emotion",
    "topic",
    "score",
    "similarity",
    "rating",
    "stars",
    "y",
)
CLASS_NAMES = ("class", "category", "intent", "topic")
"""Names of a label that is a class, whatever it is written as."""

TEXT_NAMES = (
    "text",
    "sentence",
    "review",
    "review_text",
    "content",
    "body",
    "document",
    "article",
    "message",
    "comment",
    "tweet",
    "utterance",
    "description",
    "question",
    "query",
    "title",
)
PAIR_NAMES = (
    ("text", "text_pair"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("first", "second"),
    ("s1", "s2"),
    ("a", "b"),
)
_ID_NAMES = ("id", "uuid", "guid", "index", "idx", "url", "source", "date", "time", "author")
_SIMILAR_WORDS = 4.0
_LABEL_WORDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Columns chosen for a role.

    Args:
        names: the columns.
        confidence: in [0, 1].
        reason: a phrase for people.
    """

    names: tuple[str, ...]
    confidence: float
    reason: str


def label_of(profiles: Sequence[ColumnProfile], kinds: Sequence[str]) -> Choice | None:
    """Choose the label among columns of these kinds, or None if none or several could be it."""
    named = named_label(profiles)
    if named is not None:
        how = "as given" if named.given else "by name"
        choice = Choice(
            names=(named.name,),
            confidence=1.0 if named.given else 0.95,
            reason=f"label {named.name!r} {how}",
        )
        # Of another kind, it is still the label, of another task.
        return choice if named.kind in kinds else None
    fitting = [column for column in profiles if column.kind in kinds and not is_id(column)]
    fitting = [column for column in fitting if column.given is None]
    if len(fitting) != 1:
        return None
    name = fitting[0].name
    return Choice(names=(name,), confidence=0.7, reason=f"label {name!r}, the only {kinds[0]}")


def named_label(profiles: Sequence[ColumnProfile]) -> ColumnProfile | None:
    """Return the column that the user gave as the label, else the first with a label's name."""
    for column in profiles:
        if column.given == "label":
            return column
    free = [column for column in profiles if column.given is None]
    short = [c for c in free if c.kind != "text" or c.mean_words <= _LABEL_WORDS]
    for name in LABEL_NAMES:
        for column in short:
            if column.name.lower() == name:
                return column
    return None


def texts_of(profiles: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Return the columns a model could read; identifiers only where there is nothing else."""
    given = [column for column in profiles if column.given in ("text", "text_pair")]
    if given:
        return sorted(given, key=lambda column: str(column.given))
    texts = [column for column in profiles if column.kind == "text" and column.given is None]
    if not texts:
        named = (*TEXT_NAMES, *(name for pair in PAIR_NAMES for name in pair))
        texts = [c for c in profiles if c.kind == "category" and c.name.lower() in named]
    readable = [column for column in texts if not is_id(column)]
    return readable or texts


def text_of(profiles: Sequence[ColumnProfile]) -> Choice | None:
    """Choose the one text column, or None if none, several, or a pair could be it."""
    texts = texts_of(profiles)
    if texts and texts[0].given:
        name = texts[0].name
        choice = Choice(names=(name,), confidence=1.0, reason=f"text {name!r} as given")
        return choice if len(texts) == 1 else None
    if len(texts) == 1:
        name = texts[0].name
        return Choice(names=(name,), confidence=0.95, reason=f"text {name!r}, the only text column")
    if _named_pair(texts):
        return None
    for name in TEXT_NAMES:
        for column in texts:
            if column.name.lower() == name:
                return Choice(
                    names=(column.name,),
                    confidence=0.7,
                    reason=f"text {column.name!r} by name, among {len(texts)} text columns",
                )
    return None


def pair_of(profiles: Sequence[ColumnProfile]) -> Choice | None:
    """Choose two text columns that belong together, or None."""
    texts = texts_of(profiles)
    if texts and texts[0].given:
        if len(texts) == 1:
            return None
        first, second = texts[0].name, texts[1].name
        reason = f"texts {first!r}, {second!r} as given"
        return Choice(names=(first, second), confidence=1.0, reason=reason)
    named = _named_pair(texts)
    if named:
        first, second = named
        return Choice(names=named, confidence=0.95, reason=f"texts {first!r}, {second!r} by name")
    if len(texts) != 2 or text_of(profiles):
        return None
    words = sorted(column.mean_words for column in texts)
    if words[1] > _SIMILAR_WORDS * max(words[0], 1.0):
        return None
    first, second = texts[0].name, texts[1].name
    reason = f"texts {first!r}, {second!r}, the two text columns"
    return Choice(names=(first, second), confidence=0.6, reason=reason)


def _named_pair(texts: Sequence[ColumnProfile]) -> tuple[str, str] | None:
    names = {column.name.lower(): column.name for column in texts}
    for first, second in PAIR_NAMES:
        if first in names and second in names:
            return names[first], names[second]
    return None


def is_id(column: ColumnProfile) -> bool:
    """Whether a column identifies rows rather than describing them.

    ``Unnamed: 0`` and ``__index_level_0__`` are what pandas calls an index that it has written.
    """
    words = re.findall(r"[^\W_]+", column.name.lower()) or [""]
    if words[0] in LABEL_NAMES:
        return False
    return words[-1] in _ID_NAMES or words[0] in ("unnamed", "index")
