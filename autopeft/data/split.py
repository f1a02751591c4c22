"""Train, selection and test: given ones respected, missing ones carved out of training.

Candidates are compared on selection; test is read once, after the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autopeft.data.source import SPLITS
from autopeft.data.strata import Ints, choose, deal, strata_of
from autopeft.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

HELD_OUT_SHARE = 0.2
HELD_OUT_CAP = 5_000
_BATCH_ROWS = 1_000
_MIN_ROWS = 3
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Three disjoint data sets, and the decisions that made them.

    Args:
        train: to train on.
        selection: to compare candidates on.
        test: to be read once.
        carved: which of them were not given.
        notes: the decisions.
    """

    train: Dataset
    selection: Dataset
    test: Dataset
    carved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def split(
    splits: Mapping[str, Dataset],
    *,
    strata: str | None,
    seed: int,
    inputs: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Splits:
    """Complete the given splits to train, selection and test.

    A missing split takes 20 % of the training rows, at most 5,000 (and one row of each class it
    would miss). Rows with the same input stay together, so that none leaks into a carved split; of
    their classes the rarest is the one that they are stratified by.

    Args:
        splits: ``train``, and ``selection`` and ``test`` where given; not empty.
        strata: column of classes, or of floats (stratified by quantile bins); None for neither.
        seed: of the random choice; the same seed gives the same splits.
        inputs: the columns a model sees; rows that agree in them are duplicates.
        names: class names for messages, by the value in the `strata` column.

    Raises:
        DataError: too few rows, a class with one example where training has to be divided, or a
            class of selection or test that training lacks.
    """
    notes: list[str] = []
    views = {name: View.of(dataset, strata, inputs) for name, dataset in splits.items()}
    missing = [name for name in SPLITS[1:] if name not in splits]
    parts = dict(splits)
    if missing:
        rows = _carve(views["train"], missing, seed, names, notes)
        parts |= {name: splits["train"].select(chosen) for name, chosen in rows.items()}
        views |= {name: views["train"].at(chosen) for name, chosen in rows.items()}
    _require_known(views, names)
    notes += _leaks(views)
    return Splits(
        **{name: parts[name] for name in SPLITS}, carved=tuple(missing), notes=tuple(notes)
    )


def sample(dataset: Dataset, rows: int, strata: str | None, seed: int) -> Dataset:
    """Return a seeded sample of `rows` rows, in their order, within one of each class's share."""
    if rows >= len(dataset):
        return dataset
    values = _values(dataset, strata)
    rng = np.random.default_rng(seed)
    chosen = choose(strata_of(values, len(dataset)), rows, rng)
    return dataset.select(np.flatnonzero(chosen))


def input_hashes(dataset: Dataset, inputs: Sequence[str]) -> Ints:
    """Return a 64-bit hash of each row's inputs, blanks at both ends and letter case aside.

    Equal only within one process. Shapes: result (N,).
    """
    hashes = np.empty(len(dataset), np.int64)
    chosen = dataset.select_columns(list(inputs))
    for start in range(0, len(dataset), _BATCH_ROWS):
        batch = chosen[start : start + _BATCH_ROWS]
        rows = zip(*(batch[name] for name in inputs), strict=True)
        hashes[start : start + _BATCH_ROWS] = [
            hash(tuple(str(text).strip().casefold() for text in row)) for row in rows
        ]
    return hashes


@dataclass(frozen=True, slots=True)
class View:
    """All that splitting needs of N rows: their classes or floats (N,), and input hashes (N,)."""

    rows: int
    values: npt.NDArray[Any] | None
    hashes: Ints | None

    @classmethod
    def of(cls, dataset: Dataset, strata: str | None, inputs: Sequence[str]) -> View:
        """Return the view of a data set."""
        hashes = input_hashes(dataset, inputs) if inputs else None
        return cls(len(dataset), _values(dataset, strata), hashes)

    def at(self, chosen: Ints) -> View:
        """Return the view of some of the rows."""
        return View(
            len(chosen),
            None if self.values is None else self.values[chosen],
            None if self.hashes is None else self.hashes[chosen],
        )

    @property
    def classes(self) -> npt.NDArray[Any] | None:
        """The values, where they are classes."""
        return None if self.values is None or self.values.dtype.kind == "f" else self.values

    def groups(self) -> tuple[Ints, Ints]:
        """Return the first row of each distinct input, and each row's place among those."""
        every = np.arange(self.rows, dtype=np.int64)
        if self.hashes is None:
            return every, every
        _, first, group = np.unique(self.hashes, return_index=True, return_inverse=True)
        # In order of first rows, not of hashes, which differ from process to process.
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return first[order].astype(np.int64), place[group].astype(np.int64)

    def strata(self, first: Ints, group: Ints) -> Ints:
        """Return a stratum for each of G distinct inputs: its rarest class, or its first number.

        Shapes:
            first (G,) and group (N,) as of `groups`; result (G,).
        """
        if self.classes is None:
            return strata_of(self.at(first).values, len(first))
        _, codes, counts = np.unique(self.classes, return_inverse=True, return_counts=True)
        rarest_first = np.lexsort((codes, counts[codes], group))
        places = np.unique(group[rarest_first], return_index=True)[1]
        return np.asarray(codes[rarest_first[places]], np.int64)

    def lasting(self, held: npt.NDArray[np.bool_], group: Ints) -> npt.NDArray[np.bool_]:
        """Return which of the held-out inputs leave another row of each of their classes.

        Shapes:
            held (G,); group (N,) as of `groups`; result (G,).
        """
        if self.classes is None:
            return held
        lost = ~np.isin(self.classes, self.classes[~held[group]])
        lasting = held.copy()
        lasting[group[lost]] = False
        return lasting


def _values(dataset: Dataset, column: str | None) -> npt.NDArray[Any] | None:
    if column is None:
        return None
    cells = dataset.select_columns([column]).with_format("arrow")[:].column(column)
    values = np.asarray(cells.to_numpy())
    return values.astype(np.str_) if values.dtype.kind == "O" else values


def _carve(
    train: View,
    missing: Sequence[str],
    seed: int,
    names: Sequence[str] | None,
    notes: list[str],
) -> dict[str, Ints]:
    """Divide the training rows among training and the missing splits."""
    first, group = train.groups()
    _require_enough(train, names, len(missing) + 1, len(first))
    each = max(1, min(round(HELD_OUT_SHARE * len(first)), HELD_OUT_CAP))
    strata = train.strata(first, group)
    dealt = deal(strata, (each,) * len(missing), np.random.default_rng(seed))
    dealt = np.where(train.lasting(dealt > 0, group), dealt, 0)[group]
    parts = {
        name: np.flatnonzero(dealt == number) for number, name in enumerate(("train", *missing))
    }
    empty = [name for name, part in parts.items() if not len(part)]
    if empty:
        raise DataError(
            f"{train.rows} usable rows, {len(first)} with different inputs, are too few to give "
            f"every class a training row and leave any for {empty[0]}; give more"
        )
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    notes.append(
        f"{' and '.join(missing)} carved out of {train.rows} rows with seed {seed}: {sizes}"
    )
    repeats = train.rows - len(first)
    if repeats:
        notes.append(
            f"{repeats} {'row repeats' if repeats == 1 else 'rows repeat'} the input of another "
            "row; rows with the same input are kept in the same split"
        )
    for name in missing:
        notes += _absent(train, parts[name], name, names)
    return parts


def _named(value: Any, names: Sequence[str] | None) -> str:
    return repr(str(value)) if names is None else repr(names[int(value)])


def _listed(values: Sequence[Any], names: Sequence[str] | None) -> str:
    shown = ", ".join(_named(value, names) for value in values[:_SHOWN])
    more = len(values) - _SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def _require_enough(train: View, names: Sequence[str] | None, parts: int, distinct: int) -> None:
    least = max(parts, _MIN_ROWS)
    if distinct < least:
        raise DataError(
            f"{distinct} usable rows with different inputs are too few to split; give at least "
            f"{least}"
        )
    if train.classes is None:
        return
    classes, counts = np.unique(train.classes, return_counts=True)
    single = list(classes[counts == 1])
    if single:
        raise DataError(
            f"{'class' if len(single) == 1 else f'{len(single)} classes:'} "
            f"{_listed(single, names)} with one example only; add examples, merge the class "
            "into another, remove its row, or give selection and test files of your own"
        )


def _absent(train: View, rows: Ints, name: str, names: Sequence[str] | None) -> list[str]:
    """Say which classes have too few different examples to be in a carved split."""
    if train.classes is None:
        return []
    absent = np.setdiff1d(train.classes, train.classes[rows]).tolist()
    listed = _listed(absent, names)
    return [f"{name} has no example of {listed}: too few different ones"] if absent else []


def _require_known(views: Mapping[str, View], names: Sequence[str] | None) -> None:
    """Raise for a class of selection or test that training lacks."""
    train = views["train"].classes
    for name in SPLITS[1:]:
        values = views[name].classes
        if train is None or values is None:
            continue
        unknown = np.flatnonzero(~np.isin(values, train))
        if len(unknown):
            classes = list(dict.fromkeys(values[unknown].tolist()))
            raise DataError(
                f"{name} has {len(unknown)} rows of a class that training lacks: "
                f"{_listed(classes, names)} (first: row {int(unknown[0]) + 1} of {name}); add "
                "training examples of it, or remove these rows"
            )


def _leaks(views: Mapping[str, View]) -> list[str]:
    """Say how many held-out rows have the input of a row elsewhere."""
    notes = []
    for here, there in (("selection", "train"), ("test", "train"), ("test", "selection")):
        mine, theirs = views[here].hashes, views[there].hashes
        count = 0 if mine is None or theirs is None else int(np.isin(mine, theirs).sum())
        if count:
            rows = "row has" if count == 1 else "rows have"
            notes.append(
                f"warning: {count} {here} {rows} the same input as a {there} row (a leak); "
                f"{here} scores are too good by what they add"
            )
    return notes
