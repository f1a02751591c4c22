"""A model folder's files, looked at before transformers opens them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer_config.json",
)
IMAGE_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
SAMPLE_BYTES = 4096
SAMPLES = 64


def check_folder(folder: Path) -> None:
    """Look for all that a model needs, and open the safetensors headers.

    Raises:
        ModelError: a file is missing or broken; names it and says what to do.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file; give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} has no config.json; give a folder written by save_pretrained or a hub name"
        )
    if not any((folder / name).is_file() for name in (*TOKENIZERS, *IMAGE_PROCESSORS)):
        raise ModelError(
            f"{folder} has no tokenizer (looked for {', '.join(TOKENIZERS[:4])} …) and no image "
            f"processor ({IMAGE_PROCESSORS[0]}); save the model's own into it with save_pretrained"
        )
    if not weight_files(folder):
        raise ModelError(
            f"{folder} has no weights (looked for {', '.join(WEIGHTS + PICKLED)}); "
            "copy model.safetensors into it"
        )
    for file in weight_files(folder):
        _check_header(file)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights; safetensors where there are any.

    Raises:
        ModelError: an index names a file that is not there.
    """
    for name in (*WEIGHTS, *PICKLED):
        file = folder / name
        if file.is_file() and file.suffix == ".json":
            return _shards(file)
        if file.is_file():
            return [file]
    return []


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of every stored weight from the headers.

    None if they are pickled, or not here yet: a hub model of which only the configuration is.
    """
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        if path.suffix != ".safetensors":
            return None
        with safe_open(path, framework="np") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return shapes or None


def as_loaded(
    stored: Mapping[str, tuple[int, ...]], model: PreTrainedModel
) -> dict[str, tuple[int, ...]]:
    """Return the stored shapes under the names that the model has for them today.

    Checkpoints keep the names of their time: ``gamma`` and ``beta`` of old norms, or ViT's
    ``encoder.layer.0.attention.attention.query``.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [
        change
        for change in get_model_conversion_mapping(model)
        if isinstance(change, WeightRenaming)
    ]
    return {rename_source_key(name, renamings, [])[0]: shape for name, shape in stored.items()}


def lacking(
    wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, tuple[int, ...]], prefix: str
) -> list[str]:
    """Return the wanted weights that are not stored in the wanted shape.

    A checkpoint may have been saved without its head, so with or without the base model's prefix.
    """
    missing = []
    for name, shape in wanted.items():
        aliases = (name, name.removeprefix(f"{prefix}."))
        if shape not in [stored.get(alias) for alias in aliases]:
            missing.append(name)
    return missing


def digest(folder: Path) -> str:
    """Return twelve hex digits that tell this checkpoint from another one.

    Covers the configuration, the sizes of the weight files and 64 samples of each: reads a few
    hundred kilobytes whatever the size of the model.
    """
    hashed = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        hashed.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for index in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * index // (SAMPLES - 1))
                hashed.update(file.read(SAMPLE_BYTES))
    return hashed.hexdigest()[:12]


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{index} is not a weight index ({error}); fetch it again") from error
    shards = [index.parent / Path(name).name for name in sorted(names)]
    for shard in shards:
        if not shard.is_file():
            raise ModelError(f"{index} names {shard.name}, which is not there; copy it too")
    return shards


def _check_header(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is truncated or damaged ({error}); fetch it again") from error
