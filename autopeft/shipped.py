"""Files that come with the program: inside the package when installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Return a folder of shipped files, such as ``search_spaces``.

    A wheel carries it inside the package; an editable install and a checkout have it beside the
    package.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def shipped_yaml(name: str) -> dict[str, Path]:
    """Return the YAML files of a shipped folder by the names they go by."""
    return {path.stem: path for path in sorted(shipped_folder(name).glob("*.yaml"))}
