"""A model as plain numbers, from its configuration alone or from the loaded model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autopeft.backbone.head import in_head
from autopeft.backbone.role import cross_shapes, layer_stacks, module_shapes
from autopeft.backbone.token import is_decoder
from autopeft.records import BackboneShape, ModuleShape

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel


def backbone_shape(model: PreTrainedModel, heads: tuple[str, ...]) -> BackboneShape:
    """Return the numbers of a model, on any device, the meta device included.

    Args:
        model: with its head.
        heads: names of the modules that make up the head.
    """
    config = model.config
    prefix = model.base_model_prefix if hasattr(model, model.base_model_prefix) else ""
    base = model.get_submodule(prefix) if prefix else model
    modules = module_shapes(base, f"{prefix}." if prefix else "", config.hidden_size)
    vocabulary = getattr(config, "vocab_size", 0)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    inside = {name: size for name, size in sizes.items() if not in_head(name, heads)}
    return BackboneShape(
        architecture=config.model_type,
        kind=_kind(model),
        layers=_layers(config, base),
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_width=_kv_width(config, modules),
        vocabulary=vocabulary,
        positions=_positions(model),
        modules=modules,
        total_params=sum(inside.values()),
        biases=tuple(
            (name.rpartition(".")[0], size) for name, size in inside.items() if is_bias(name)
        ),
        head_params=sum(sizes.values()) - sum(inside.values()),
        has_pad_token=vocabulary == 0 or config.pad_token_id is not None,
        embedding=_embedding(model),
        positions_table=_positions_table(model),
        cross=cross_shapes(base, f"{prefix}." if prefix else ""),
        attention_interface=uses_attention_interface(model),
        labels=config.num_labels,
    )


def uses_attention_interface(model: PreTrainedModel) -> bool:
    """Return whether a model takes its attention from transformers' interface, as prefixes need."""
    uses: bool = type(model)._can_set_attn_implementation()
    return uses


def is_bias(name: str) -> bool:
    """Return whether a parameter of that name is the bias of a projection or a norm."""
    return name.rpartition(".")[2] == "bias"


def _kind(model: PreTrainedModel) -> str:
    if model.config.is_encoder_decoder:
        return "encoder-decoder"
    return "decoder" if is_decoder(model.config) else "encoder"


def _layers(config: PretrainedConfig, base: nn.Module) -> int:
    """Return the number of layers; of an encoder-decoder, those of both sides."""
    if config.is_encoder_decoder:
        return sum(len(stack) for _, stack in layer_stacks(base))
    layers: int = config.num_hidden_layers
    return layers


def _kv_width(config: PretrainedConfig, modules: tuple[ModuleShape, ...]) -> int:
    """Return the width of one layer's keys: of what makes them, or of heads in a fused projection.

    A model may attend in a narrower state than it hands on, as MobileBERT does.
    """
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    made = (module.fan_out for module in modules if module.site == "attn.k")
    return next(made, kv_heads * head_width)


def _embedding(model: PreTrainedModel) -> ModuleShape | None:
    """Return the module that turns token numbers into vectors, None if the model reads no text."""
    from torch import nn

    try:
        found = model.get_input_embeddings()
    except NotImplementedError:
        return None
    if not isinstance(found, nn.Embedding):
        return None
    name = next(name for name, module in model.named_modules() if module is found)
    return _table(name, "embed.prompt", found)


def _positions_table(model: PreTrainedModel) -> ModuleShape | None:
    """Return the module that turns positions into vectors, None if it is none of its own.

    Of an encoder-decoder that is the encoder's. Tables of sines are not learnt.
    """
    from torch import nn

    for name, module in model.named_modules():
        learnt = isinstance(module, nn.Embedding) and "Sinusoidal" not in type(module).__name__
        if learnt and name.endswith(("position_embeddings", "embed_positions", ".wpe")):
            return _table(name, "embed.position", module)
    return None


def _table(name: str, site: str, module: nn.Embedding) -> ModuleShape:
    fan_in, fan_out = module.num_embeddings, module.embedding_dim
    return ModuleShape(name=name, site=site, layer=-1, fan_in=fan_in, fan_out=fan_out, bias=0)


def _positions(model: PreTrainedModel) -> int | None:
    """Return the longest input.

    RoBERTa and MPNet count positions from the padding index on, so their embedding holds fewer
    positions than rows. A model of images has one position per patch, and one for the class token.
    """
    from torch import nn

    for name, parameter in model.named_parameters():
        if name.endswith("position_embeddings"):
            return int(parameter.shape[1])
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            padding = module.padding_idx
            return module.num_embeddings - (0 if padding is None else padding + 1)
    longest: int | None = getattr(model.config, "max_position_embeddings", None)
    return longest if longest is not None and longest > 0 else None
