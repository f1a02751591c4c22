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
    """Three disjoint data sets, and the decisions that made them."""

    train: Dataset
    selection: Dataset
    test: Dataset
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
    would miss). Rows with the same input stay together, so that none leaks into a carved split.

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
    missing = [name for name in SPLITS[1:] if name not in splits]
    parts = dict(splits)
    if missing:
        parts |= _carve(splits["train"], missing, strata, inputs, seed, names, notes)
    labels = {name: _values(parts[name], strata) for name in SPLITS}
    _require_known(labels, names)
    if inputs:
        notes += _leaks({name: input_hashes(parts[name], inputs) for name in SPLITS})
    return Splits(**{name: parts[name] for name in SPLITS}, notes=tuple(notes))


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


def _carve(
    train: Dataset,
    missing: Sequence[str],
    strata: str | None,
    inputs: Sequence[str],
    seed: int,
    names: Sequence[str] | None,
    notes: list[str],
) -> dict[str, Dataset]:
    """Divide the training rows among training and the missing splits."""
    size, values = len(train), _values(train, strata)
    first, group = _groups(train, inputs)
    _require_enough(values, names, len(missing) + 1, len(first))
    each = max(1, min(round(HELD_OUT_SHARE * len(first)), HELD_OUT_CAP))
    rng = np.random.default_rng(seed)
    kept = None if values is None else values[first]
    dealt = deal(strata_of(kept, len(first)), (each,) * len(missing), rng)[group]
    parts = {
        name: train.select(np.flatnonzero(dealt == number))
        for number, name in enumerate(("train", *missing))
    }
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    notes.append(f"{' and '.join(missing)} carved out of {size} rows with seed {seed}: {sizes}")
    if len(first) < size:
        notes.append(
            f"{size - len(first)} rows repeat the input of another row; repeats are kept in the "
            "same split"
        )
    notes += _uneven(values, dealt, missing, names)
    return parts


def _groups(dataset: Dataset, inputs: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the first row of each distinct input, and each row's place among those."""
    if not inputs:
        every = np.arange(len(dataset), dtype=np.int64)
        return every, every
    _, first, group = np.unique(
        input_hashes(dataset, inputs), return_index=True, return_inverse=True
    )
    # In order of first rows, not of hashes, which differ from process to process.
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order].astype(np.int64), place[group].astype(np.int64)


def _values(dataset: Dataset, column: str | None) -> npt.NDArray[Any] | None:
    return None if column is None else np.asarray(dataset[column][:])


def _named(value: Any, names: Sequence[str] | None) -> str:
    return repr(str(value)) if names is None else repr(names[int(value)])


def _listed(values: Sequence[Any], names: Sequence[str] | None) -> str:
    shown = ", ".join(_named(value, names) for value in values[:_SHOWN])
    more = len(values) - _SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


def _require_enough(
    values: npt.NDArray[Any] | None, names: Sequence[str] | None, parts: int, distinct: int
) -> None:
    if distinct < max(parts, _MIN_ROWS):
        raise DataError(
            f"{distinct} usable rows with different inputs are too few to split; give at least "
            f"{max(parts, _MIN_ROWS)}"
        )
    if values is None or values.dtype.kind == "f":
        return
    classes, counts = np.unique(values, return_counts=True)
    single = classes[counts == 1]
    if len(single):
        raise DataError(
            f"{'class' if len(single) == 1 else f'{len(single)} classes:'} "
            f"{_listed(list(single), names)} with one example only; add examples, merge the class "
            "into another, remove its row, or give selection and test files of your own"
        )


def _uneven(
    values: npt.NDArray[Any] | None,
    dealt: Ints,
    missing: Sequence[str],
    names: Sequence[str] | None,
) -> list[str]:
    """Say which classes are too small to be in every carved split."""
    if values is None or values.dtype.kind == "f":
        return []
    notes = []
    for number, name in enumerate(missing, start=1):
        absent = sorted(set(values.tolist()) - set(values[dealt == number].tolist()))
        if absent:
            notes.append(
                f"{name} has no example of {_listed(absent, names)}: too few different ones"
            )
    return notes


def _require_known(
    labels: Mapping[str, npt.NDArray[Any] | None], names: Sequence[str] | None
) -> None:
    """Raise for a class that training lacks."""
    train = labels["train"]
    if train is None or train.dtype.kind == "f":
        return
    for name in SPLITS[1:]:
        values = labels[name]
        if values is None:
            continue
        unknown = np.flatnonzero(~np.isin(values, train))
        if len(unknown):
            classes = list(dict.fromkeys(values[unknown].tolist()))
            raise DataError(
                f"{name} has {len(unknown)} rows of a class that training lacks: "
                f"{_listed(classes, names)} (first: row {int(unknown[0]) + 1} of {name}); add "
                "training examples of it, or remove these rows"
            )


def _leaks(hashes: Mapping[str, Ints]) -> list[str]:
    """Say how many held-out rows have the input of a row elsewhere."""
    notes = []
    for here, there in (("selection", "train"), ("test", "train"), ("test", "selection")):
        count = int(np.isin(hashes[here], hashes[there]).sum())
        if count:
            rows = "row has" if count == 1 else "rows have"
            notes.append(
                f"warning: {count} {here} {rows} the same input as a {there} row (a leak); "
                f"{here} scores are too good by what they add"
            )
    return notes
