"""Padding: few lengths where each has to be compiled for, and the same outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.tasks.encode import encode
from autopeft.train.batches import collate
from autopeft.train.evaluate import outputs
from autopeft.train.padding import Padding
from autopeft.train.precision import Plan
from autopeft.train.session import Session, open_session
from tests.tiny import WORDS, tiny_tokenizer
from tests.train.toy import order, save_splits, table

CPU = torch.device("cpu")
ROUNDED = Padding(0, rounded=True)
LONG = encode(
    table(12).map(lambda row: {"text": " ".join([WORDS[3]] * (3 * row["row"]))}),
    tiny_tokenizer("bert"),
    max_length=40,
)


@given(st.integers(1, 600), st.integers(0, 600))
def test_few_lengths_none_too_short_none_above_the_longest(longest: int, more: int) -> None:
    most = longest + more
    lengths, rows = np.array([longest, most]), np.array([0])
    length = ROUNDED.length(lengths, rows)
    assert longest <= length <= min(most, longest + 7)
    assert length <= 16 or length % 8 == 0 or length == most
    assert Padding(0).length(lengths, rows) == longest


def test_a_batch_is_padded_to_the_rounded_length() -> None:
    rows = np.array([0, 6])
    assert LONG.lengths[rows].tolist() == [2, 20]
    batch = collate(LONG, rows, ROUNDED)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 24)
    assert batch["attention_mask"].sum(1).tolist() == [2, 20]
    assert collate(LONG, rows, Padding(0))["input_ids"].shape == (2, 20)


@pytest.mark.parametrize("method", ["lora", "prefix", "unipelt", "prompt_tuning"])
def test_outputs_are_those_without_rounding(method: str, opened: Session) -> None:
    candidate = Candidate(method=method, learning_rate=1e-2, epochs=1)
    model = adapt(opened.delivered, candidate, seed=0)
    exact = outputs(model, LONG, padding=Padding(0), device=CPU, max_tokens=60)
    rounded = outputs(model, LONG, padding=ROUNDED, device=CPU, max_tokens=60)
    assert np.abs(exact - rounded).max() < 1e-5


@pytest.fixture(scope="module")
def opened(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Session:
    return open_session(order(save_splits(tmp_path_factory.mktemp("data")), tiny_folder("bert")))[0]


def test_a_processor_rounds_in_bf16_alone(opened: Session) -> None:
    assert opened.padding == Padding(0)
    plan = Plan(dtype="bfloat16", attention="eager").to_json()
    assert Session(dataclasses.replace(opened.setting, plan=plan)).padding == ROUNDED


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_text_without_a_token_has_outputs(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    """Alone as beside another text."""
    session = open_session(order(save_splits(tmp_path), tiny_folder(architecture)))[0]
    empty = table(2).map(lambda row: {"text": "" if row["row"] == 0 else WORDS[3]})
    both = encode(empty, session.delivered.tokenizer, max_length=8)
    assert 0 in {len(ids) for ids in both.input_ids}
    together = session.outputs(session.delivered.model, both)
    first = encode(empty.select([0]), session.delivered.tokenizer, max_length=8)
    alone = session.outputs(session.delivered.model, first)
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)
