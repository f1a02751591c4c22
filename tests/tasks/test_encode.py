"""Encoding: unpadded, cut where too long, the same as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from autopeft.errors import ConfigError
from autopeft.tasks.encode import encode

WORDS = ["[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]


@pytest.fixture
def tokenizer() -> Any:
    """Return a word tokenizer with BERT's special tokens."""
    core = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def test_single_texts_are_unpadded_and_cut(tokenizer: Any) -> None:
    data = Dataset.from_dict({"text": ["a", "a b c d", "a b c"], "label": [0, 1, 1]})
    encoded = encode(data, tokenizer, max_length=5)
    assert [row.tolist() for row in encoded.input_ids] == [
        [1, 3, 2],
        [1, 3, 4, 5, 2],
        [1, 3, 4, 5, 2],
    ]
    assert encoded.truncated == 1
    assert encoded.lengths.tolist() == [3, 5, 5]
    assert encoded.targets.dtype == np.int64
    assert {row.dtype for row in encoded.input_ids} == {np.dtype(np.int32)}
    assert len(encoded) == 3


def test_pairs_have_types_and_the_longer_text_gives_way(tokenizer: Any) -> None:
    data = Dataset.from_dict({"text": ["a"], "text_pair": ["b c d e f g"], "label": [0.5]})
    encoded = encode(data, tokenizer, max_length=7)
    assert encoded.input_ids[0].tolist() == [1, 3, 2, 4, 5, 6, 2]
    assert encoded.token_type_ids is not None
    assert encoded.token_type_ids[0].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert encoded.targets.dtype == np.float32
    assert encoded.truncated == 1


def test_no_types_where_the_tokenizer_has_none(tokenizer: Any) -> None:
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    data = Dataset.from_dict({"text": ["a"], "label": [0]})
    assert encode(data, tokenizer, max_length=8).token_type_ids is None


def test_batches_agree_with_one_by_one(tokenizer: Any) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), rng.integers(1, 20))) for _ in range(1_500)]
    data = Dataset.from_dict({"text": texts, "label": [0] * 1_500})
    encoded = encode(data, tokenizer, max_length=10)
    for text, row in zip(texts, encoded.input_ids, strict=True):
        assert row.tolist() == tokenizer(text, truncation=True, max_length=10)["input_ids"]
    assert encoded.truncated == sum(len(text.split()) > 8 for text in texts)


def test_ten_megabyte_text_is_encoded_by_its_beginning(tokenizer: Any) -> None:
    data = Dataset.from_dict({"text": ["a b c " * 1_700_000], "label": [0]})
    encoded = encode(data, tokenizer, max_length=5)
    assert encoded.input_ids[0].tolist() == [1, 3, 4, 5, 2]
    assert encoded.truncated == 1


def test_slow_tokenizer_counts_the_same() -> None:
    from transformers import ByT5Tokenizer

    slow = ByT5Tokenizer()
    assert not slow.is_fast
    data = Dataset.from_dict({"text": ["abc", "abcd", "abcdefgh"], "label": [0, 1, 1]})
    encoded = encode(data, slow, max_length=5)
    assert encoded.lengths.tolist() == [4, 5, 5]
    assert encoded.truncated == 1


@pytest.mark.parametrize(("columns", "special"), [(["text"], 2), (["text", "text_pair"], 3)])
def test_room_for_special_tokens_alone_is_refused(
    tokenizer: Any, columns: list[str], special: int
) -> None:
    data = Dataset.from_dict({name: ["a b c"] for name in columns})
    for length in range(1, special + 1):
        with pytest.raises(ConfigError, match=f"give at least {special + 1}"):
            encode(data, tokenizer, max_length=length)
    assert encode(data, tokenizer, max_length=special + 1).lengths.tolist() == [special + 1]
