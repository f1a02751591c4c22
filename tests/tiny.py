"""Tiny random models, built from configurations and saved with a processor built here.

They are saved without a classification head, as real checkpoints are; the weights are drawn with
a spread of 0.2, so that features differ enough to be learned from in a few steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
    ViTImageProcessorPil,
)

from autopeft.backbone.quiet import quiet

OF_TEXTS = (
    "bert",
    "roberta",
    "distilbert",
    "mpnet",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "llama",
    "t5",
)
OF_IMAGES = ("vit",)
ARCHITECTURES = (*OF_TEXTS, *OF_IMAGES)
DECODERS = ("gpt2", "llama")
WITH_SEGMENTS = ("bert", "deberta-v2")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("good", "bad", *(f"w{index}" for index in range(93)))
HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 48, 128
IMAGE, PATCH = 16, 4
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
    "t5": {
        "d_model": HIDDEN,
        "d_kv": HIDDEN // HEADS,
        "d_ff": INNER,
        "num_layers": LAYERS,
        "num_decoder_layers": 1,
        "num_heads": HEADS,
        "decoder_start_token_id": 0,
    },
    "vit": {"image_size": IMAGE, "patch_size": PATCH, "num_channels": 3},
    "albert": {"embedding_size": HIDDEN // 2},
    "electra": {"embedding_size": HIDDEN // 2},
    "convbert": {"embedding_size": HIDDEN // 2, "head_ratio": 2},
    "mobilebert": {
        "embedding_size": HIDDEN // 2,
        "true_hidden_size": HIDDEN // 4,
        "intra_bottleneck_size": HIDDEN // 4,
    },
    "esm": {"mask_token_id": 4},
    "gemma2": {
        "head_dim": HIDDEN // HEADS,
        "num_key_value_heads": 2,
        "attn_logit_softcapping": 1.0,
    },
    "gpt_oss": {
        "head_dim": HIDDEN // HEADS,
        "num_key_value_heads": 2,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    },
    "opt": {"ffn_dim": INNER, "word_embed_proj_dim": HIDDEN},
    "bart": {
        "d_model": HIDDEN,
        "encoder_layers": LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": INNER,
        "decoder_ffn_dim": INNER,
    },
}
OTHER_NAMES["gpt2"]["n_inner"] = INNER


def tiny_config(architecture: str, **changes: object):
    """Return the configuration of a model of two layers of width 32; T5 decodes with one more."""
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
    if architecture in ("distilbert", "gpt2", "t5"):
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del settings[name]
        del settings["intermediate_size"]
    if architecture in ("t5", *OF_IMAGES):
        del settings["max_position_embeddings"]
    if architecture in OF_IMAGES:
        del settings["vocab_size"]
        settings = {name: value for name, value in settings.items() if "token_id" not in name}
    settings |= OTHER_NAMES.get(architecture, {}) | changes
    return AutoConfig.for_model(architecture, **settings)


def tiny_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words.

    A decoder's has no pad token and adds nothing; T5's ends every text, and puts nothing before.
    """
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if architecture in DECODERS:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]", bos_token="[CLS]"
        )
    start = "" if architecture == "t5" else "[CLS] "
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start}$A [SEP]",
        pair=f"{start}$A [SEP] $B:1 [SEP]:1",
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


def save_processor(architecture: str, folder: Path) -> None:
    """Save what makes the inputs of a model: a tokenizer, or an image processor."""
    if architecture in OF_IMAGES:
        ViTImageProcessorPil(size={"height": IMAGE, "width": IMAGE}).save_pretrained(folder)
    else:
        tiny_tokenizer(architecture).save_pretrained(folder)


def head_for(architecture: str, labels: int = 2) -> dict[str, Any]:
    """Return the arguments of `load_backbone` that ask for a classifier."""
    kind = "Image" if architecture in OF_IMAGES else "Sequence"
    return {
        "auto_class": f"AutoModelFor{kind}Classification",
        "model_options": {"num_labels": labels},
    }


def tiny_model(architecture: str, folder: Path, *, seed: int = 0, **changes: object) -> Path:
    """Save a tiny random model without head, and its processor; return the folder.

    Args:
        architecture: one of `ARCHITECTURES`.
        folder: made if need be.
        seed: of the weights.
        changes: settings of the configuration.
    """
    return _saved(AutoModel, architecture, folder, seed, changes)


def masked_model(architecture: str, folder: Path, *, seed: int = 0, **changes: object) -> Path:
    """As `tiny_model`, with the head for masked words that the architecture has."""
    return _saved(AutoModelForMaskedLM, architecture, folder, seed, changes)


def _saved(kind: Any, architecture: str, folder: Path, seed: int, changes: Any) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind.from_config(tiny_config(architecture, **changes))
    with quiet():
        model.save_pretrained(folder)
    save_processor(architecture, folder)
    return folder
