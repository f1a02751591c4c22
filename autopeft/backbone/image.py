"""The image processor of a model that reads images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autopeft.errors import ModelError

if TYPE_CHECKING:
    from transformers import BaseImageProcessor


def reads_images(auto_class: str) -> bool:
    """Return whether models of a transformers auto class read images."""
    return "Image" in auto_class


def load_image_processor(model: str | Path) -> BaseImageProcessor:
    """Return what turns images into ``pixel_values``.

    Raises:
        ModelError: there is no usable image processor.
    """
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(str(model), trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"cannot load the image processor of {str(model)!r}: {str(error).splitlines()[0]}; "
            "save it there with image_processor.save_pretrained"
        ) from error
