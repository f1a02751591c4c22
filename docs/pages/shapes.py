"""Backbones as plain numbers, for the pages."""

from __future__ import annotations

import dataclasses

from autopeft.records import BackboneShape

MASK_TOKEN = 103
"""Any number will do: that there is a token for a gap is what a tokenizer says, not the shape."""


def bert_base() -> BackboneShape:
    """Return BERT-base with a head for two classes."""
    from transformers import BertConfig

    return shape(BertConfig(num_labels=2))


def shape(config: object, auto_class: str = "AutoModelForSequenceClassification") -> BackboneShape:
    """Return the numbers of a model with all of its backbone stored, built without weights."""
    import torch
    import transformers

    from autopeft.backbone.head import head_modules
    from autopeft.backbone.outline import backbone_shape
    from autopeft.backbone.quiet import quiet

    with quiet(), torch.device("meta"):
        model = getattr(transformers, auto_class).from_config(config)
    found = backbone_shape(model, head_modules(model, ()))
    return dataclasses.replace(found, mask_token=MASK_TOKEN)
