"""Tiny random models, built from configurations and saved with a tokenizer built here.

They are saved without a classification head, as real checkpoints are; the weights are drawn with
a spread of 0.2, so that features differ enough to be learned from in a few steps.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from autopeft.backbone.quiet import quiet

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "mpnet",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "llama",
)
DECODERS = ("gpt2", "llama")
WITH_SEGMENTS = ("bert", "deberta-v2")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("good", "bad", *(f"w{index}" for index in range(93)))
HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 48, 128
OTHER_NAMES = {
    "distilbert": {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER},
    "roberta": {"max_position_embeddings": POSITIONS + 1},
    "mpnet": {"max_position_embeddings": POSITIONS + 2},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "pooler_hidden_size": HIDDEN,
    },
    "gpt2": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS},
    "llama": {"num_key_value_heads": 2},
}
OTHER_NAMES["gpt2"]["n_inner"] = INNER


def tiny_config(architecture: str, **changes: object):
    """Return the configuration of a model of two layers of width 32."""
    settings: dict[str, object] = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "eos_token_id": 3,
    }
    if architecture in DECODERS:
        settings["pad_token_id"] = None
    if architecture in ("distilbert", "gpt2"):
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del settings[name]
        del settings["intermediate_size"]
    settings |= OTHER_NAMES.get(architecture, {}) | changes
    return AutoConfig.for_model(architecture, **settings)


def tiny_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words; a decoder's has no pad token and adds nothing."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if architecture in DECODERS:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]", bos_token="[CLS]"
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    segments = ["token_type_ids"] if architecture in WITH_SEGMENTS else []
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", *segments, "attention_mask"],
    )


def tiny_model(architecture: str, folder: Path, *, seed: int = 0, **changes: object) -> Path:
    """Save a tiny random model without head, and its tokenizer; return the folder.

    Args:
        architecture: one of `ARCHITECTURES`.
        folder: made if need be.
        seed: of the weights.
        changes: settings of the configuration.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(tiny_config(architecture, **changes))
    with quiet():
        model.save_pretrained(folder)
    tiny_tokenizer(architecture).save_pretrained(folder)
    return folder
