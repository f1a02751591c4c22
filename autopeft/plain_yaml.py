"""YAML as plain values, read safely, and what can be said of any of them.

Only plain values: object tags are refused, a key written twice is a fault, files are small.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from autopeft.errors import suggestion

MAX_BYTES = 1_000_000
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")
}
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
show = _short.repr
"""Return a value as Python writes it, cut where it is long."""


class _Loader(yaml.SafeLoader):
    """The safe loader, for which 1e-3 is a number as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse(path: Path, faults: list[str], *, empty: str) -> Any:
    """Return a file's plain values, or None with its faults noted.

    Args:
        path: of the file.
        faults: gets a sentence for each.
        empty: what to say of a file in which nothing stands.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            faults.append(f"larger than {MAX_BYTES:,} bytes; write less")
            return None
        loader = _Loader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None or node.tag == "tag:yaml.org,2002:null":
            faults.append(f"is empty; {empty}")
            return None
        before = len(faults)
        _walk(node, "", faults, set())
        return None if len(faults) > before else loader.construct_document(node)
    except UnicodeDecodeError as error:
        faults.append(f"is not UTF-8 text (byte {error.start}); save it as UTF-8")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        faults.append(f"{line}{error.problem or error.context}; is it YAML?")
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        faults.append(f"cannot be read: {str(error).splitlines()[0] if str(error) else 'too deep'}")
    return None


def _walk(node: yaml.Node, place: str, faults: list[str], seen: set[int]) -> None:
    """Note object tags, keys written twice and anchors that are used again."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        faults.append(f"{place or 'file'}: an anchor is used again (line {line}); write it out")
        return
    if not isinstance(node, yaml.ScalarNode):
        seen.add(id(node))
    if node.tag not in _PLAIN_TAGS:
        faults.append(f"{place or 'file'}: tag {node.tag!r} (line {line}); only plain values")
        return
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, f"{place}[{index}]", faults, seen)
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            inner = f"{place}.{key.value}" if place else str(key.value)
            if not isinstance(key, yaml.ScalarNode):
                faults.append(f"{place or 'file'}: a key is not a word (line {line})")
                continue
            if key.value in keys:
                faults.append(f"{inner}: written twice (line {key.start_mark.line + 1})")
            keys.add(key.value)
            _walk(child, inner, faults, seen)


def unknown(
    given: Mapping[Any, Any], allowed: Sequence[str], place: str, kind: str
) -> Iterator[str]:
    """Yield a fault for every key that is not allowed, with the nearest that is."""
    for name in given:
        if name not in allowed:
            where = f"{place}.{name}" if place else str(name)
            yield f"{where}: unknown {kind} {show(name)}; {suggestion(str(name), allowed)}"


def kind(value: object) -> str:
    """Return what a value of the wrong kind is, for messages."""
    if value is None:
        return "blank"
    return {"list": "list", "str": "text", "dict": "mapping"}.get(type(value).__name__, "value")
