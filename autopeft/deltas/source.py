"""Source prompts on disk: one ``NAME.safetensors`` each in a folder per backbone; no torch here."""

from __future__ import annotations

from pathlib import Path

PROMPT = "prompt"
"""Name of the one tensor (tokens, width) in a file."""


def source_files(folder: Path) -> list[Path]:
    """Return the files of a folder in the order of their names."""
    return sorted(folder.glob("*.safetensors"))


def source_shape(file: Path) -> tuple[int, int]:
    """Return the length and the width of the prompt in a file, from its header.

    Raises:
        ValueError: the file holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            tokens, width = opened.get_slice(PROMPT).get_shape()
            return int(tokens), int(width)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{file} holds no source prompt ({error})") from error
