"""Files of JSON lines that are only ever added to, by several processes."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def whole_lines(file: Path) -> list[str]:
    """Return the lines that were written to their end: a kill may have cut the last."""
    if not file.is_file():
        return []
    whole = file.read_bytes().rpartition(b"\n")[0].decode()
    return whole.split("\n") if whole else []


def add_line(
    file: Path, line: Mapping[str, Any], *, first: Mapping[str, Any] | None = None
) -> None:
    """Add a line at once; one that was cut before goes.

    Args:
        file: made with its first line.
        line: what is added.
        first: what stands before it in a new file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        whole = whole_lines(file)
        out.truncate(sum(len(text.encode()) + 1 for text in whole))
        for entry in [line] if whole or first is None else [first, line]:
            out.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
