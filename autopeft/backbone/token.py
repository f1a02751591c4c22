"""The tokenizer of a model, with a pad token that can be told from text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def load_tokenizer(
    model: str | Path, config: PretrainedConfig
) -> tuple[PreTrainedTokenizerBase, tuple[str, ...]]:
    """Return the model's tokenizer and what the user should know of it.

    A decoder without pad token pads with its end-of-text token: the texts to classify do not
    contain one, so the last real token can still be told. ``config.pad_token_id`` is set to match.

    Raises:
        ModelError: there is no usable tokenizer, no token to pad with, or no table of tokens in the
            model.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model), trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"cannot load the tokenizer of {str(model)!r}: {str(error).splitlines()[0]}; "
            "save it there with tokenizer.save_pretrained"
        ) from error
    if not hasattr(config, "vocab_size"):
        raise ModelError(
            f"{config.model_type} models have no vocab_size, the table of tokens that is needed "
            "here; give a model of another architecture"
        )
    if len(tokenizer) > config.vocab_size and max(tokenizer.get_vocab().values()) >= (
        config.vocab_size
    ):
        raise ModelError(
            f"the tokenizer of {str(model)!r} has {len(tokenizer)} tokens, the model's embedding "
            f"{config.vocab_size} rows; give the tokenizer that belongs to the model"
        )
    notes = _pad(str(model), tokenizer, decoder=is_decoder(config))
    config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, notes


def is_decoder(config: PretrainedConfig) -> bool:
    """Return whether the architecture attends to the left only."""
    from transformers.models.auto import modeling_auto as auto

    name = config.model_type
    return (
        name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and name not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and not config.is_encoder_decoder
    )


def _pad(name: str, tokenizer: PreTrainedTokenizerBase, *, decoder: bool) -> tuple[str, ...]:
    if tokenizer.pad_token_id is not None:
        return ()
    if decoder and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        return (f"no pad token in {name}: padding with {tokenizer.eos_token!r}, as it ends texts",)
    raise ModelError(
        f"the tokenizer of {name!r} has no pad token, so texts of different lengths cannot be "
        "batched; add one to tokenizer_config.json"
    )
