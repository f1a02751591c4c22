"""Load a pretrained model once, frozen, with its processor, head and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.backbone import checkpoint
from autopeft.backbone.head import fresh_modules, head_modules
from autopeft.backbone.image import load_image_processor, reads_images
from autopeft.backbone.outline import backbone_shape
from autopeft.backbone.quiet import explained, quiet
from autopeft.backbone.role import layer_stacks
from autopeft.backbone.seed import seeded
from autopeft.backbone.token import load_tokenizer
from autopeft.errors import ModelError
from autopeft.records import BackboneShape

if TYPE_CHECKING:
    import torch
    from transformers import (
        BaseImageProcessor,
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A frozen pretrained model and what is known of it.

    Args:
        name: the folder or hub name it was loaded from.
        auto_class: the transformers auto class that gave it its head.
        model: in eval mode, nothing requires a gradient, in the checkpoint's dtype unless told
            otherwise. Never train it: `share` it.
        processor: what makes the model's inputs: a tokenizer with a pad token, or an image
            processor.
        shape: the model as plain numbers.
        heads: names of the modules that make up the head.
        fresh: names of the modules of the head that the checkpoint does not hold.
        digest: tells this checkpoint from another one.
        attention: the attention implementation in use.
        notes: decisions to tell the user, one sentence each.
    """

    name: str
    auto_class: str
    model: PreTrainedModel
    processor: PreTrainedTokenizerBase | BaseImageProcessor
    shape: BackboneShape
    heads: tuple[str, ...]
    fresh: tuple[str, ...]
    digest: str
    attention: str
    notes: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with a pad token.

        Raises:
            ModelError: the model reads images.
        """
        if reads_images(self.auto_class):
            raise ModelError(f"{self.name} reads images, not texts; give a model of texts")
        return self.processor


def load_backbone(
    model: str | Path,
    *,
    auto_class: str,
    model_options: Mapping[str, Any],
    seed: int = 0,
    dtype: torch.dtype | None = None,
    attention: str | None = None,
) -> Backbone:
    """Load a model from a folder or the hub.

    Args:
        model: a folder, or a hub name (offline: found in the cache or not at all).
        auto_class: the transformers auto class, such as ``"AutoModelForSequenceClassification"``.
        model_options: settings of the head, such as ``{"num_labels": 2}``.
        seed: of the newly initialised head modules.
        dtype: None keeps the checkpoint's.
        attention: ``"eager"`` or ``"sdpa"``; None leaves the choice to transformers.

    Raises:
        ModelError: the model cannot be used; says which file and what to do.
    """
    import transformers

    config = read_config(model, model_options)
    _check_architecture(config)
    processor, notes = _load_processor(model, config, auto_class)
    loader = getattr(transformers, auto_class)
    with quiet(), seeded(seed), explained(model):
        loaded, report = loader.from_pretrained(
            str(model),
            config=config,
            dtype="auto" if dtype is None else dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
            weights_only=True,
        )
    mismatched = [entry[0] for entry in report["mismatched_keys"]]
    _check_fit(str(model), loaded, report["missing_keys"], mismatched)
    loaded = loaded.eval().requires_grad_(False)
    fresh = fresh_modules(report["missing_keys"], mismatched)
    heads = head_modules(loaded, fresh)
    backbone = Backbone(
        name=str(model),
        auto_class=auto_class,
        model=loaded,
        processor=processor,
        shape=_located(backbone_shape(loaded, heads), model, processor),
        heads=heads,
        fresh=fresh,
        digest=checkpoint.digest(find_folder(model)),
        attention=loaded.config._attn_implementation,
        notes=notes,
    )
    return backbone if attention is None else set_attention(backbone, attention)


def outline(
    model: str | Path, *, auto_class: str, model_options: Mapping[str, Any]
) -> tuple[BackboneShape, tuple[str, ...]]:
    """Return the shape of a model and what the user should know of it, reading no weights.

    The model is built on the meta device from its configuration; which modules of the head are
    fresh follows from the names and shapes in the safetensors headers. Same numbers as
    `load_backbone`. Without a header (pickled weights, or a hub model that is not downloaded yet)
    the pooler counts as stored.

    Raises:
        ModelError: as `load_backbone`.
    """
    import torch
    import transformers

    config = read_config(model, model_options)
    _check_architecture(config)
    processor, notes = _load_processor(model, config, auto_class)
    with quiet(), explained(model), torch.device("meta"):
        empty = getattr(transformers, auto_class).from_config(config, trust_remote_code=False)
    stored = checkpoint.weight_shapes(find_folder(model))
    wanted = {name: tuple(p.shape) for name, p in empty.named_parameters()}
    lacking = []
    if stored is not None:
        stored = checkpoint.as_loaded(stored, empty)
        lacking = checkpoint.lacking(wanted, stored, empty.base_model_prefix)
    _check_fit(str(model), empty, lacking, [])
    heads = head_modules(empty, fresh_modules(lacking, []))
    return _located(backbone_shape(empty, heads), model, processor), notes


def set_attention(backbone: Backbone, attention: str) -> Backbone:
    """Return the backbone with another attention implementation, or unchanged if it has none.

    The model is changed in place; models shared from it before keep theirs.
    """
    try:
        with quiet():
            backbone.model.set_attn_implementation(attention)
    except (ValueError, ImportError):
        return backbone
    return replace(backbone, attention=backbone.model.config._attn_implementation)


def read_config(model: str | Path, model_options: Mapping[str, Any]) -> PretrainedConfig:
    """Return the configuration, after a look at the folder's files.

    Raises:
        ModelError: there is none, or it names an architecture that transformers does not know.
    """
    from transformers import AutoConfig

    _check_place(model)
    with quiet(), explained(model):
        return AutoConfig.from_pretrained(str(model), trust_remote_code=False, **model_options)


def find_folder(model: str | Path) -> Path:
    """Return the folder with the model's files: itself, or its snapshot in the hub's cache.

    Raises:
        ModelError: there is none, or the given folder lacks a file.
    """
    from transformers.utils import cached_file

    _check_place(model)
    if Path(model).is_dir():
        return Path(model)
    with quiet(), explained(model):
        return Path(cached_file(str(model), "config.json")).parent


def _load_processor(
    model: str | Path, config: PretrainedConfig, auto_class: str
) -> tuple[PreTrainedTokenizerBase | BaseImageProcessor, tuple[str, ...]]:
    """Return what makes the model's inputs, and what the user should know of it."""
    if reads_images(auto_class):
        return load_image_processor(model), ()
    return load_tokenizer(model, config)


def _located(shape: BackboneShape, model: str | Path, processor: Any) -> BackboneShape:
    """Return the numbers of a model with what its files say besides."""
    mask = getattr(processor, "mask_token_id", None)
    return replace(shape, checkpoint=str(model), mask_token=mask)


def _check_place(model: str | Path) -> None:
    """Refuse a folder that lacks a file, and a path that is not there."""
    if Path(model).exists():
        checkpoint.check_folder(Path(model))
    elif str(model).startswith(("/", "./", "../", "~")) or str(model).count("/") > 1:
        raise ModelError(f"there is no model folder {model}; give a folder or a hub name")


def _check_architecture(config: PretrainedConfig) -> None:
    """Refuse layers of several widths or without attention, and a head that would read padding."""
    name = config.model_type
    if name == "xlnet":
        raise ModelError(
            "the head of xlnet reads the last position, which is padding where texts are padded on "
            "the right, as they are here; give a model of another architecture"
        )
    for number in ("hidden_size", "num_attention_heads"):
        if not isinstance(getattr(config, number, None), int):
            raise ModelError(
                f"{name} models have no {number} that holds for all layers, so nothing here could "
                "adapt them; give a model of another architecture"
            )


def _check_fit(
    name: str, model: PreTrainedModel, missing: list[str], mismatched: list[str]
) -> None:
    """Refuse weights that do not fill the layers or the embeddings."""
    base = getattr(model, model.base_model_prefix, model)
    prefix = "" if base is model else f"{model.base_model_prefix}."
    inner = [f"{prefix}{stack}." for stack, _ in layer_stacks(base)]
    inner += [
        f"{prefix}{n}." for n, _ in base.named_children() if "embed" in n or n in ("wte", "shared")
    ]
    lost = [key for key in sorted((*missing, *mismatched)) if key.startswith(tuple(inner))]
    if lost:
        raise ModelError(
            f"the weights in {name} do not fit its config.json (model_type "
            f"{model.config.model_type!r}): {len(lost)} weights of the layers are missing or of "
            f"another shape, first {lost[0]}; give the config.json that belongs to the weights"
        )
