"""Texts as token numbers, unpadded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autopeft.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH_ROWS = 1_000
_CHARACTERS_PER_TOKEN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Encoded examples, each as long as it is.

    Shapes:
        input_ids and token_type_ids: N arrays (T_n,); targets (N,); lengths (N,).

    Args:
        input_ids: token numbers with the special ones.
        token_type_ids: which text a token belongs to; None if the tokenizer does not tell.
        targets: class numbers (int64) or numbers (float32).
        lengths: tokens of each example.
        truncated: how many examples were cut to the greatest length.
    """

    input_ids: list[npt.NDArray[np.int32]]
    token_type_ids: list[npt.NDArray[np.int32]] | None
    targets: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    truncated: int

    def __len__(self) -> int:
        return len(self.input_ids)


def encode(dataset: Dataset, tokenizer: Any, *, max_length: int) -> Encoded:
    """Encode a data set of `prepare`, a thousand rows at a time.

    Of a longer example the first `max_length` tokens are kept; of a pair, the longer text gives
    way. More than a thousand characters for each token are never looked at.

    Args:
        dataset: columns ``text``, ``label`` (zeros stand in for it where it is missing, as in what
            is to be predicted) and, for pairs, ``text_pair``.
        tokenizer: of transformers.
        max_length: in tokens, special ones included.

    Raises:
        ConfigError: there is no room for a token beside the special ones.
    """
    special = tokenizer.num_special_tokens_to_add(pair="text_pair" in dataset.column_names)
    if max_length <= special:
        raise ConfigError(
            f"--max-length {max_length} leaves no room for text beside {special} special tokens; "
            f"give at least {special + 1}"
        )
    ids: list[npt.NDArray[np.int32]] = []
    types: list[npt.NDArray[np.int32]] = []
    truncated = 0
    for texts in _batches(dataset, max_length * _CHARACTERS_PER_TOKEN):
        batch = tokenizer(*texts, truncation=True, max_length=max_length, verbose=False)
        ids += [np.asarray(row, np.int32) for row in batch["input_ids"]]
        types += [np.asarray(row, np.int32) for row in batch.get("token_type_ids", ())]
        truncated += _count_truncated(batch, texts, tokenizer, max_length)
    known = "label" in dataset.column_names
    targets = np.asarray(dataset["label"][:] if known else np.zeros(len(dataset), np.int64))
    return Encoded(
        input_ids=ids,
        token_type_ids=types or None,
        targets=targets.astype(np.float32 if targets.dtype.kind == "f" else np.int64),
        lengths=np.fromiter((len(row) for row in ids), np.int64, len(ids)),
        truncated=truncated,
    )


def _batches(dataset: Dataset, characters: int) -> Iterator[list[list[str]]]:
    """Yield the texts, and the second texts of pairs, each cut to a number of characters."""
    names = [name for name in ("text", "text_pair") if name in dataset.column_names]
    texts = dataset.select_columns(names)
    for start in range(0, len(dataset), _BATCH_ROWS):
        batch = texts[start : start + _BATCH_ROWS]
        yield [[text[:characters] for text in batch[name]] for name in names]


def _count_truncated(batch: Any, texts: list[list[str]], tokenizer: Any, max_length: int) -> int:
    """Count the examples that were cut; a slow tokenizer has to encode full ones again."""
    if batch.encodings is not None:
        return sum(bool(encoding.overflowing) for encoding in batch.encodings)
    full = [place for place, row in enumerate(batch["input_ids"]) if len(row) >= max_length]
    if not full:
        return 0
    again = tokenizer(*([column[place] for place in full] for column in texts), verbose=False)
    return sum(len(row) > max_length for row in again["input_ids"])
