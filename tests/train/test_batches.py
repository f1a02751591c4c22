"""Batches: an order that seed and epoch alone decide, little padding, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopeft.train.batches import Batch, TrainingBatches, collate, evaluation_rows
from autopeft.train.padding import Padding
from tests.train.toy import encoded

ROWS = encoded(70)


def batches(**changes: int) -> TrainingBatches:
    return TrainingBatches(ROWS, **{"batch_size": 16, "padding": Padding(0), "seed": 3, **changes})


def texts_in(batch: Batch) -> list[tuple[int, ...]]:
    return [
        tuple(ids[mask.bool()].tolist())
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]


def epoch(made: TrainingBatches) -> list[list[tuple[int, ...]]]:
    return [[text for part in parts for text in texts_in(part)] for parts in made]


def test_every_row_comes_once_per_epoch() -> None:
    made = batches()
    expected = sorted(tuple(row.tolist()) for row in ROWS.input_ids)
    for _ in range(2):
        assert sorted(text for batch in epoch(made) for text in batch) == expected


def test_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = batches(), batches()
    np.random.seed(0)
    first, second = epoch(one), epoch(one)
    np.random.seed(1)
    assert [first, second] == [epoch(other), epoch(other)]
    assert first != second
    assert first != epoch(batches(seed=4))


def test_parts_hold_the_whole_batch_in_the_same_order() -> None:
    assert epoch(batches(parts=1)) == epoch(batches(parts=4))
    sizes = [[len(part["targets"]) for part in parts] for parts in batches(parts=4)]
    assert sorted(map(sum, sizes)) == [6, 16, 16, 16, 16]
    assert all(len(parts) == 4 for parts in sizes)


def test_batch_smaller_than_its_parts_has_no_empty_part() -> None:
    sizes = [[len(part["targets"]) for part in parts] for parts in batches(parts=16)]
    assert sorted(map(len, sizes)) == [6, 16, 16, 16, 16]


def test_length_is_the_number_of_optimizer_steps() -> None:
    for parts in (1, 8):
        made = batches(parts=parts)
        assert len(made) == made.steps == len(list(made)) == 5


def test_batches_of_similar_length_pad_less_than_random_ones() -> None:
    rows = encoded(400)
    made = TrainingBatches(rows, batch_size=16, padding=Padding(0), seed=0)
    padded = sum(part["input_ids"].numel() for parts in made for part in parts)
    shuffled = np.random.default_rng(0).permutation(400).reshape(25, 16)
    randomly = sum(16 * int(rows.lengths[batch].max()) for batch in shuffled)
    assert padded - rows.lengths.sum() < 0.2 * (randomly - rows.lengths.sum())


def test_collate_pads_on_the_right_and_masks_the_padding() -> None:
    short, long = int(ROWS.lengths.argmin()), int(ROWS.lengths.argmax())
    batch = collate(ROWS, np.array([short, long]), Padding(7))
    length = int(ROWS.lengths[short])
    assert batch["input_ids"].shape == (2, ROWS.lengths.max())
    assert batch["input_ids"][0, :length].tolist() == ROWS.input_ids[short].tolist()
    assert (batch["input_ids"][0, length:] == 7).all()
    assert batch["attention_mask"].sum(1).tolist() == [length, ROWS.lengths.max()]
    assert batch["token_type_ids"].dtype == torch.int64
    assert batch["targets"].tolist() == ROWS.targets[[short, long]].tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_evaluation_covers_every_row_within_the_token_limit(lengths: list[int], most: int) -> None:
    found = evaluation_rows(np.array(lengths), max_tokens=most)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= most


@pytest.mark.parametrize("parts", [1, 3])
def test_last_batch_of_one_row_is_kept(parts: int) -> None:
    made = TrainingBatches(encoded(17), batch_size=16, padding=Padding(0), seed=0, parts=parts)
    assert sorted(len(batch) for batch in epoch(made)) == [1, 16]
