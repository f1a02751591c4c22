"""Where search spaces are found: shipped ones by name, others by path."""

from __future__ import annotations

from pathlib import Path

import autopeft
from autopeft.errors import SpaceError, UnknownNameError


def shipped_folder() -> Path:
    """Return the folder of the shipped spaces: package data, else the checkout's root.

    A wheel carries ``search_spaces/`` inside the package; an editable install and a checkout have
    it beside the package.
    """
    package = Path(autopeft.__file__).resolve().parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the shipped spaces by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


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
