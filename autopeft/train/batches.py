"""Batches of similar length: little padding without giving up random order.

Training batches: the shuffled rows are cut into blocks of `_BLOCK` batches, each block is sorted
by length and cut into batches, and the batches are shuffled. Evaluation batches: rows sorted by
length, as many per batch as fit a token limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from autopeft.train.padding import Padding

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

Batch = dict[str, torch.Tensor]

_BLOCK = 25


def collate(encoded: Encoded, rows: np.ndarray, padding: Padding) -> Batch:
    """Return the rows as tensors (B, T), padded on the right.

    The batch has ``input_ids``, ``attention_mask``, ``token_type_ids`` where the tokenizer gives
    them, ``targets`` (B,), and ``rows`` (B,), the row numbers.
    """
    length = padding.length(encoded.lengths, rows)
    shape = (len(rows), length)
    ids = np.full(shape, padding.token, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    types = np.zeros(shape, dtype=np.int64) if encoded.token_type_ids is not None else None
    for place, row in enumerate(rows):
        tokens = encoded.input_ids[row]
        ids[place, : len(tokens)] = tokens
        mask[place, : len(tokens)] = 1
        if types is not None and encoded.token_type_ids is not None:
            types[place, : len(tokens)] = encoded.token_type_ids[row]
    batch = {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "targets": torch.from_numpy(encoded.targets[rows]),
        "rows": torch.from_numpy(np.asarray(rows, dtype=np.int64)),
    }
    if types is not None:
        batch["token_type_ids"] = torch.from_numpy(types)
    return batch


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on a device; its row numbers stay where they are, to be read at once."""
    return {n: value if n == "rows" else value.to(device) for n, value in batch.items()}


def inputs_of(batch: Batch) -> Batch:
    """Return what a model takes of a batch: all but the targets and the row numbers."""
    return {name: value for name, value in batch.items() if name not in ("targets", "rows")}


class TrainingBatches:
    """The training batches of one candidate; every pass is a new epoch with its own order.

    What is yielded belongs to one optimizer step: the batch, or the parts it was cut into.
    The order depends on `seed` and the epoch alone, so candidates of one seed see the same.

    Args:
        encoded: the training split.
        batch_size: examples per optimizer step.
        padding: makes rows equally long.
        seed: of the order.
        parts: how many parts a batch is cut into, for gradient accumulation; a short batch may
            have fewer.
    """

    def __init__(
        self, encoded: Encoded, *, batch_size: int, padding: Padding, seed: int, parts: int = 1
    ) -> None:
        self._encoded, self._padding = encoded, padding
        self._batch_size, self._seed, self._parts = batch_size, seed, parts
        self._epoch = 0

    @property
    def steps(self) -> int:
        """Optimizer steps per epoch."""
        return -(-len(self._encoded.targets) // self._batch_size)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Batch]]:
        order = self._order(self._epoch)
        self._epoch += 1
        for rows in order:
            parts = [part for part in np.array_split(rows, self._parts) if len(part)]
            yield [collate(self._encoded, part, self._padding) for part in parts]

    def _order(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng((self._seed, epoch))
        shuffled = generator.permutation(len(self._encoded.targets))
        size = self._batch_size * _BLOCK
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), size):
            block = shuffled[start : start + size]
            block = block[np.argsort(self._encoded.lengths[block], kind="stable")]
            batches += [
                block[first : first + self._batch_size]
                for first in range(0, len(block), self._batch_size)
            ]
        return [batches[place] for place in generator.permutation(len(batches))]


def evaluation_rows(lengths: np.ndarray, *, max_tokens: int) -> list[np.ndarray]:
    """Return row numbers, longest first, in batches of at most `max_tokens` padded tokens."""
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches
