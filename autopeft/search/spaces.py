"""Where search spaces are found: shipped ones by name, others by path."""

from __future__ import annotations

from pathlib import Path

from autopeft.errors import SpaceError, UnknownNameError
from autopeft.shipped import shipped_yaml

FOLDER = "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the shipped spaces by name."""
    return shipped_yaml(FOLDER)


def find_space(name_or_path: str | Path, *, beside: Path | None = None) -> Path:
    """Return the file of a space.

    Args:
        name_or_path: the name of a shipped space, or a path ending in ``.yaml`` or ``.yml``.
        beside: the folder that a relative path starts from; the working directory if None.

    Raises:
        UnknownNameError: no shipped space of that name.
        SpaceError: no such file.
    """
    text = str(name_or_path)
    if not text.endswith((".yaml", ".yml")):
        shipped = shipped_spaces()
        if text in shipped:
            return shipped[text]
        raise UnknownNameError("space", text, (*shipped, "FILE.yaml"), see="autopeft spaces")
    path = (beside or Path()) / Path(text).expanduser()
    if not path.is_file():
        raise SpaceError(text, [f"no such file; shipped spaces: {', '.join(shipped_spaces())}"])
    return path
