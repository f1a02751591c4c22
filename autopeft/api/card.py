"""The splits and the test predictions that a run keeps, summed up for its page.

They are read with pyarrow alone, a batch at a time, so that a page of a large data set takes little
memory and no deep-learning library.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autopeft.data.source import SPLITS
from autopeft.report.page import Mistake, MistakesView, SplitView

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 12
WORST = 20
MOST_SIGNS = 700
"""A longer text is cut on the page."""


class Edges(NamedTuple):
    """Of the values of all splits: the least, the greatest, and whether all are whole numbers."""

    low: float
    high: float
    whole: bool


def read_splits(run: Path, labels: Sequence[str]) -> list[SplitView]:
    """Return sizes, labels and lengths of the splits that are still in the run folder."""
    names = [name for name in SPLITS if (run / "data" / name / "state.json").is_file()]
    lengths = {name: _values(run, name, words=True) for name in names}
    targets = {name: _values(run, name, words=False) for name in names}
    length_edges = _edges(lengths.values())
    target_edges = None if labels else _edges(targets.values())
    return [
        SplitView(
            name=name,
            rows=sum(targets[name].values()),
            labels={
                labels[int(number)]: count
                for number, count in sorted(targets[name].items())
                if int(number) < len(labels)
            }
            if labels
            else {},
            bins=() if target_edges is None else _bins(targets[name], target_edges),
            words=_bins(lengths[name], length_edges),
        )
        for name in names
    ]


def read_mistakes(run: Path) -> MistakesView | None:
    """Return what the delivered model did on the test split; None before delivery."""
    import pyarrow.parquet as parquet

    file = run / "predictions.parquet"
    if not file.is_file():
        return None
    table = parquet.read_table(file)
    true, found = table["label"].to_pylist(), table["prediction"].to_pylist()
    classes = "probability" in table.column_names
    if classes:
        chances = table["probability"].to_pylist()
        wrong = [place for place in range(len(true)) if true[place] != found[place]]
        worst = sorted(wrong, key=lambda place: -chances[place])[:WORST]
    else:
        chances = [None] * len(true)
        worst = sorted(range(len(true)), key=lambda place: -abs(true[place] - found[place]))[:WORST]
    texts = _texts(run, worst)
    return MistakesView(
        rows=len(true),
        counts=Counter(zip(true, found, strict=True)) if classes else {},
        pairs=() if classes else list(zip(true, found, strict=True)),
        worst=[
            Mistake(
                row=int(table["row"][place].as_py()),
                text=texts.get(place, (None, None))[0],
                text_pair=texts.get(place, (None, None))[1],
                label=true[place],
                prediction=found[place],
                probability=chances[place],
            )
            for place in worst
        ],
    )


def _values(run: Path, split: str, *, words: bool) -> Counter[float]:
    """Return how often each number of words, or each label, occurs."""
    import pyarrow.compute as compute

    found: Counter[float] = Counter()
    for batch in _batches(run, split):
        column = batch.column("text" if words else "label")
        if words:
            column = compute.add(compute.count_substring_regex(column, r"\S+"), 0)
        found.update(value for value in column.to_pylist() if value is not None)
    return found


def _texts(run: Path, places: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """Return the texts of rows of the test split, by their place in it."""
    wanted, found, start = set(places), {}, 0
    for batch in _batches(run, "test"):
        for place in sorted(wanted):
            if start <= place < start + len(batch):
                row = batch.slice(place - start, 1).to_pylist()[0]
                pair = row.get("text_pair")
                found[place] = (_cut(row["text"]), None if pair is None else _cut(pair))
        start += len(batch)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SIGNS else text[: MOST_SIGNS - 1] + "…"


def _batches(run: Path, split: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a split as it was saved; nothing if it is not there."""
    import pyarrow as pa

    for file in sorted((run / "data" / split).glob("*.arrow")):
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            yield from reader


def _edges(values: Any) -> Edges:
    known = [value for counts in values for value in counts if math.isfinite(value)]
    if not known:
        return Edges(0.0, 1.0, whole=True)
    return Edges(min(known), max(known), whole=all(float(value).is_integer() for value in known))


def _bins(values: Counter[float], edges: Edges) -> list[tuple[float, float, int]]:
    """Return at most `BINS` bins of one width between the edges; whole numbers get whole ones."""
    low, high, whole = edges
    width = (high - low) / BINS or 1.0
    width = max(1, math.ceil((high - low + 1) / BINS)) if whole else width
    count = min(BINS, max(1, math.ceil((high - low + (1 if whole else 0)) / width)))
    counts = [0] * count
    for value, times in values.items():
        counts[min(count - 1, int((value - low) / width))] += times
    last = width - 1 if whole else width
    return [(low + n * width, low + n * width + last, times) for n, times in enumerate(counts)]
